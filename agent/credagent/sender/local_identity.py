"""The sender's local identity, looked up in a helper process, so that no SDK is loaded here. Sealing is elsewhere."""

from collections.abc import Mapping

from msgspec import Struct

from credagent.bundle.contents import AwsSessionGrant, GoogleAccessTokenGrant, GoogleAuthorizedUserGrant
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import AwsLocalIdentity, GoogleLocalRefreshToken, GoogleLocalToken
from credagent.cloud_helper.job_responses import AwsObtained, GoogleObtained, GoogleRefreshToken
from credagent.credentials import Slot
from credagent.errors import Unavailable
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions

DEADLINE_S = 60.0  # a profile's credential_process or an SSO refresh behind a slow proxy; nobody waits longer for it
MISSING = frozenset({"no-local-identity"})
"""Nothing is there. Everything else (a login that ran out, a broken file) is something that was there and fails."""

GoogleGrantHere = GoogleAccessTokenGrant | GoogleAuthorizedUserGrant


class FoundIdentity(Struct, frozen=True, kw_only=True):
    """What was found for one slot: whose it is, how, and what a person should know of it. `grant` None: nothing."""

    slot: Slot
    grant: AwsSessionGrant | GoogleGrantHere | None = None
    principal: str = ""
    account: str = ""
    method: str = ""
    expiry_known: bool = True
    notices: tuple[str, ...] = ()


class IdentityLookup(Struct, frozen=True, kw_only=True):
    """One look at the local identity."""

    local: LocalIdentity
    found: tuple[FoundIdentity, ...]

    @property
    def notices(self) -> tuple[str, ...]:
        """Return all that a person should know."""
        return tuple(notice for found in self.found for notice in found.notices)


def look(options: GrantOptions, environ: Mapping[str, str] | None = None) -> IdentityLookup:
    """Return what `options` need of the local identity. Blocks for up to DEADLINE_S for each cloud.

    Raises Unavailable for credentials that are broken, and for missing ones unless `allow_missing` was said.
    """
    found: list[FoundIdentity] = []
    aws: AwsSessionGrant | None = None
    google: GoogleGrantHere | None = None
    if options.wants_local_aws:
        found_aws, aws = look_for_aws(options, environ)
        found.append(found_aws)
    if options.wants_local_google:
        found_google, google = look_for_google(options, environ)
        found.append(found_google)
    return IdentityLookup(local=LocalIdentity(aws=aws, google=google), found=tuple(found))


def look_for_aws(
    options: GrantOptions, environ: Mapping[str, str] | None
) -> tuple[FoundIdentity, AwsSessionGrant | None]:
    """Return the AWS identity here. Raises as `look`."""
    request = AwsLocalIdentity(
        profile=options.profile, duration_s=options.duration_s, allow_long_term=options.allow_long_term
    )
    try:
        obtained = call_blocking(request, deadline_s=DEADLINE_S, environ=environ)
    except Unavailable as error:
        return _missing(Slot.AWS, error, options), None
    grant = _session(obtained)
    return (
        FoundIdentity(
            slot=Slot.AWS,
            grant=grant,
            principal=obtained.principal,
            account=obtained.account,
            method=obtained.method,
            expiry_known=obtained.expiry_known,
            notices=tuple(notice.why for notice in obtained.notices),
        ),
        grant,
    )


def look_for_google(
    options: GrantOptions, environ: Mapping[str, str] | None
) -> tuple[FoundIdentity, GoogleGrantHere | None]:
    """Return the Google identity here: the refresh token only where it was allowed by name. Raises as `look`."""
    wants_refresh_token = options.allow_refresh_token and not options.impersonate
    try:
        if wants_refresh_token:
            return _from_refresh_token(call_blocking(GoogleLocalRefreshToken(), deadline_s=DEADLINE_S, environ=environ))
        return _from_token(call_blocking(GoogleLocalToken(), deadline_s=DEADLINE_S, environ=environ))
    except Unavailable as error:
        return _missing(Slot.GOOGLE, error, options), None


def _session(obtained: AwsObtained) -> AwsSessionGrant:
    credentials = obtained.credentials
    return AwsSessionGrant(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key,
        session_token=credentials.session_token,
        expires_at=credentials.expires_at,
        region=credentials.region,
        principal=obtained.principal,
    )


def _from_token(obtained: GoogleObtained) -> tuple[FoundIdentity, GoogleAccessTokenGrant]:
    token = obtained.token
    grant = GoogleAccessTokenGrant(
        access_token=token.access_token,
        expires_at=token.expires_at,
        email=token.email,
        project=token.project,
        scopes=token.scopes,
    )
    notices = tuple(notice.why for notice in obtained.notices)
    principal = obtained.principal or token.email
    return FoundIdentity(
        slot=Slot.GOOGLE, grant=grant, principal=principal, method=obtained.method, notices=notices
    ), grant


def _from_refresh_token(obtained: GoogleRefreshToken) -> tuple[FoundIdentity, GoogleAuthorizedUserGrant]:
    grant = GoogleAuthorizedUserGrant(
        client_id=obtained.client_id,
        client_secret=obtained.client_secret,
        refresh_token=obtained.refresh_token,
        token_uri=obtained.token_uri,
        project=obtained.project,
    )
    notice = "a Google refresh token is sent: it stays good until you revoke it (myaccount.google.com/permissions)"
    found = FoundIdentity(
        slot=Slot.GOOGLE, grant=grant, principal=obtained.principal, method="authorized_user", notices=(notice,)
    )
    return found, grant


def _missing(slot: Slot, error: Unavailable, options: GrantOptions) -> FoundIdentity:
    if error.code not in MISSING or not options.allow_missing:
        raise error
    fallback = "the machines' own identity applies" if slot is Slot.AWS else "the machines' own service account applies"
    notice = f"no local {'AWS' if slot is Slot.AWS else 'Google'} credentials: {slot.value} is declined, so {fallback}"
    if slot is Slot.AWS and options.assume_role:
        notice += (
            f"; {options.assume_role} is not assumed (say --aws none to have the machine's own identity assume it)"
        )
    return FoundIdentity(slot=slot, notices=(notice,))
