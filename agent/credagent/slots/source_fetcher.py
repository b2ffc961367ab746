"""Turns a source into a question to the helper process, and its answer into what a slot holds.

A bundle uses the machine's own identity only for targets that the machine's configuration lists. The resolver closes a
slot whose target is not listed (any more); here, where the identity would be used, the same list is asked once more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from credagent import log
from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.clock import Clock
from credagent.cloud_helper import job_requests, job_responses
from credagent.credentials import Held, Slot
from credagent.errors import InternalError, Unavailable
from credagent.slots.allowed_targets import Targets, listed
from credagent.slots.source_state import MachineSource, Source, google_token, session_credentials

ASK_AGAIN_S = 3600.0  # after STS did not say who this is: it costs seconds where it cannot be reached at all
NOTICEABLE_SKEW_S = 60.0  # signatures are refused from five minutes on; expiry is misjudged from the first second
ABSURD_SKEW_S = 100 * 365 * 86_400.0  # a machine without a battery begins in 1970; beyond this the service is wrong

Asked = job_requests.RequestFor[Any]


class FetchSettings(Struct, frozen=True, kw_only=True):
    """What the machine's configuration says of its own identity and of what a bundle may do with it."""

    region: str = ""
    project: str = ""
    scopes: tuple[str, ...] = ()
    targets: Targets = Targets()


class KnownPrincipal(Struct, frozen=True, kw_only=True):
    """The principal behind a role of this machine, empty where STS did not say; `asked_at` is monotonic."""

    role: str = ""
    principal: str = ""
    asked_at: float = 0.0


class SourceFetcher:
    """Obtains credentials through a helper process; satisfies the controllers' `Fetch`."""

    def __init__(self, settings: Callable[[], FetchSettings], clock: Clock) -> None:
        """Fetch by the present `settings`; `clock` says when something was obtained."""
        self._settings = settings
        self.skew_s: float | None = None
        self.region = ""
        self._clock = clock
        self._whose = KnownPrincipal()
        self._noted: dict[type, frozenset[str]] = {}

    async def __call__(self, source: Source) -> Held:
        """Return what `source` gives now. Raises Unavailable."""
        from credagent.cloud_helper import helper_call  # noqa: PLC0415  starts processes: nothing for the boot path

        settings = self._settings()
        request: job_requests.RequestFor[Any] = request_for(source, settings)
        if isinstance(request, job_requests.AwsMachineIdentity):
            request = structs.replace(request, known_role=self._known_role())
        return self._accepted(await helper_call.call(request))

    def _accepted(self, answer: object) -> Held:
        if not isinstance(answer, job_responses.AwsObtained | job_responses.GoogleObtained):
            raise InternalError("helper-answer", f"the helper answered {type(answer).__name__}")
        self.skew_s = skew_s = _believable(answer.skew_s)
        if skew_s is not None and abs(skew_s) >= NOTICEABLE_SKEW_S:
            log.warning("clock_is_wrong", service_clock_ahead_s=round(skew_s))
        self._tell(answer)
        if isinstance(answer, job_responses.AwsObtained):
            self.region = answer.credentials.region or self.region
            answer = self._with_principal(answer)
        held = answer.held(self._clock.now())
        if isinstance(answer, job_responses.AwsObtained):
            held = _by_this_clock(held, skew_s or 0.0)
        return _still_valid(held, self._clock.now())

    def _known_role(self) -> str:
        """Return the role that STS need not be asked about: it has said, or would not a short while ago."""
        whose = self._whose
        lately = self._clock.monotonic() - whose.asked_at < ASK_AGAIN_S
        return whose.role if whose.principal or lately else ""

    def _with_principal(self, answer: job_responses.AwsObtained) -> job_responses.AwsObtained:
        """Return the answer with the principal that is known of its role; remember the one that it brought."""
        whose = self._whose
        if not answer.role:
            return answer
        if answer.principal or answer.role != whose.role or self._known_role() == "":
            self._whose = KnownPrincipal(role=answer.role, principal=answer.principal, asked_at=self._clock.monotonic())
            return answer
        return structs.replace(answer, principal=whose.principal)

    def _tell(self, answer: job_responses.AwsObtained | job_responses.GoogleObtained) -> None:
        """Log what a person should know of credentials that were obtained, once and not at each renewal."""
        before = self._noted.get(type(answer), frozenset())
        self._noted[type(answer)] = frozenset(notice.code for notice in answer.notices)
        for notice in answer.notices:
            if notice.code not in before | SAID_OTHERWISE:
                say = log.info if notice.code in INFORMATION else log.warning
                say("credentials_noted", code=notice.code, why=notice.why, origin=answer.origin.value)


SAID_OTHERWISE = frozenset({"clock-skew"})
INFORMATION = frozenset({"principal-unknown"})
"""Not being allowed to ask whose credentials these are is no failure."""


def request_for(source: Source, settings: FetchSettings) -> Asked:
    """Return what the helper is asked. Raises Unavailable where the configuration forbids it."""
    if not isinstance(source, MachineSource):
        return _request_for_grant(source.grant, settings)
    if source.slot is Slot.AWS:
        return job_requests.AwsMachineIdentity(region=settings.region)
    return job_requests.GoogleMachineToken(scopes=settings.scopes, project=settings.project)


def _request_for_grant(grant: Grant, settings: FetchSettings) -> Asked:
    match grant:
        case AwsAssumeRoleGrant():
            return _assume_role(grant, settings)
        case GoogleAuthorizedUserGrant():
            return job_requests.GoogleAuthorizedUserToken(
                client_id=grant.client_id,
                client_secret=grant.client_secret,
                refresh_token=grant.refresh_token,
                token_uri=grant.token_uri,
                project=grant.project or settings.project,
                scopes=grant.scopes or settings.scopes,
            )
        case GoogleImpersonationGrant():
            return _impersonate(grant, settings)
        case AwsSessionGrant() | GoogleAccessTokenGrant() | EnvironmentGrant():
            raise InternalError("nothing-to-fetch", f"a {type(grant).__name__} carries its credentials itself")


def _assume_role(grant: AwsAssumeRoleGrant, settings: FetchSettings) -> job_requests.AwsAssumeRole:
    if grant.session is None:
        _listed(grant.role_arn, settings.targets.assumable_roles, "role-not-listed", "[aws] assumable_roles")
    return job_requests.AwsAssumeRole(
        role_arn=grant.role_arn,
        session_name=grant.session_name,
        external_id=grant.external_id,
        duration_s=grant.duration_s,
        policy=grant.policy,
        tags=grant.tags,
        region=settings.region or grant.region,
        session=session_credentials(grant.session) if grant.session else None,
    )


def _impersonate(grant: GoogleImpersonationGrant, settings: FetchSettings) -> job_requests.GoogleImpersonate:
    if grant.token is None:
        _listed(grant.target, settings.targets.impersonable, "account-not-listed", "[google] impersonable")
    return job_requests.GoogleImpersonate(
        target=grant.target,
        lifetime_s=grant.lifetime_s,
        project=grant.project or settings.project,
        scopes=grant.scopes or settings.scopes,
        token=google_token(grant.token) if grant.token else None,
    )


def _listed(target: str, patterns: tuple[str, ...], code: str, key: str) -> None:
    if not listed(target, patterns):
        why = f"this machine's identity may not be used for {target}"
        raise Unavailable(code, why, what="the grant", hint=f"list it under {key} on this machine", retry=False)


def _believable(skew_s: float | None) -> float | None:
    """Leave out a difference of clocks that no clock of ours can explain: one header must not spoil the credentials."""
    return skew_s if skew_s is not None and abs(skew_s) <= ABSURD_SKEW_S else None


def _by_this_clock(held: Held, service_ahead_s: float) -> Held:
    """Bring the end forward where this machine's clock is behind: AWS says when, and not how long (as Google does).

    By a clock an hour behind, what has expired would be handed out for an hour more, by us and by the SDKs.
    """
    if held.expires_at is None or service_ahead_s < NOTICEABLE_SKEW_S:
        return held
    return structs.replace(held, expires_at=held.expires_at - timedelta(seconds=service_ahead_s))


def _still_valid(held: Held, now: datetime) -> Held:
    """Refuse what has expired on arrival: it would never be handed out, and asking at once again cannot help."""
    if held.expires_at is not None and held.expires_at <= now + timedelta(seconds=1):
        hint = "is this machine's clock right?"
        raise Unavailable("expired-on-arrival", "the credentials had expired when they came", hint=hint)
    return held
