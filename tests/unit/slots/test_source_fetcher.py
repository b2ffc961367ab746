"""What the helper process is asked for each source, within what the machine's configuration allows."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

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
from credagent.cloud_helper import job_requests, job_responses
from credagent.cloud_helper.job_responses import AwsObtained, GoogleObtained
from credagent.credentials import AwsCredentials, GoogleToken, Origin, Slot
from credagent.errors import InternalError, Unavailable
from credagent.secret import Secret
from credagent.slots.allowed_targets import Targets
from credagent.slots.source_fetcher import FetchSettings, KnownPrincipal, SourceFetcher, request_for
from credagent.slots.source_state import GrantSource, MachineSource
from tests.scenario.clock import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROLE, ACCOUNT = "arn:aws:iam::123456789012:role/reader", "reader@project.iam.gserviceaccount.com"
SESSION = AwsSessionGrant(
    access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=NOW + HOUR
)
TOKEN = GoogleAccessTokenGrant(access_token=Secret("t"), expires_at=NOW + HOUR)
BOUNDS = FetchSettings(
    region="eu-central-1",
    project="configured",
    scopes=("scope",),
    targets=Targets(assumable_roles=("arn:aws:iam::123456789012:role/read*",), impersonable=("reader@*",)),
)


def source(grant: Grant) -> GrantSource:
    return GrantSource(grant=grant, not_after=NOW + HOUR, issued_at=NOW)


def test_the_machine_is_asked_with_what_the_configuration_says() -> None:
    assert request_for(MachineSource(slot=Slot.AWS), BOUNDS) == job_requests.AwsMachineIdentity(region="eu-central-1")
    asked = job_requests.GoogleMachineToken(scopes=("scope",), project="configured")
    assert request_for(MachineSource(slot=Slot.GOOGLE), BOUNDS) == asked


def test_a_role_is_asked_for_as_the_grant_says_and_in_the_machines_region() -> None:
    grant = AwsAssumeRoleGrant(
        role_arn=ROLE, session_name="n", external_id="e", duration_s=900, policy="{}", tags={"a": "b"}, region="x"
    )
    assert request_for(source(grant), BOUNDS) == job_requests.AwsAssumeRole(
        role_arn=ROLE,
        session_name="n",
        external_id="e",
        duration_s=900,
        policy="{}",
        tags={"a": "b"},
        region="eu-central-1",
    )
    without = request_for(source(grant), FetchSettings(targets=Targets(assumable_roles=(ROLE,))))
    assert isinstance(without, job_requests.AwsAssumeRole)
    assert without.region == "x"


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/admin"), "role-not-listed"),
        (AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/READER"), "role-not-listed"),
        (GoogleImpersonationGrant(target="owner@project.iam.gserviceaccount.com"), "account-not-listed"),
    ],
    ids=["a role", "a role in other letters", "an account"],
)
def test_the_machines_identity_is_used_for_what_is_listed_and_for_nothing_else(grant: Grant, code: str) -> None:
    for bounds in (BOUNDS, FetchSettings()):
        with pytest.raises(Unavailable) as raised:
            request_for(source(grant), bounds)
        assert (raised.value.code, raised.value.retry, bool(raised.value.hint)) == (code, False, True)


def test_what_a_sender_sent_itself_needs_no_list() -> None:
    role = request_for(source(AwsAssumeRoleGrant(role_arn=ROLE, session=SESSION)), FetchSettings())
    assert isinstance(role, job_requests.AwsAssumeRole)
    assert role.session is not None
    assert role.session.access_key_id == "ASIA"
    account = request_for(source(GoogleImpersonationGrant(target=ACCOUNT, token=TOKEN)), FetchSettings())
    assert isinstance(account, job_requests.GoogleImpersonate)
    assert account.token is not None


def test_a_refresh_token_gets_the_grants_scopes_and_project_else_the_configurations() -> None:
    given: dict[str, Any] = {"client_id": "c", "client_secret": Secret("s"), "refresh_token": Secret("r")}
    asked = request_for(source(GoogleAuthorizedUserGrant(**given)), BOUNDS)
    assert isinstance(asked, job_requests.GoogleAuthorizedUserToken)
    assert (asked.project, asked.scopes) == ("configured", ("scope",))
    asked = request_for(source(GoogleAuthorizedUserGrant(**given, project="p", scopes=("s",))), BOUNDS)
    assert isinstance(asked, job_requests.GoogleAuthorizedUserToken)
    assert (asked.project, asked.scopes) == ("p", ("s",))


@pytest.mark.parametrize("grant", [SESSION, TOKEN, EnvironmentGrant(variables={})], ids=lambda one: type(one).__name__)
def test_what_is_in_the_grant_is_asked_of_nobody(grant: Grant) -> None:
    with pytest.raises(InternalError):
        request_for(source(grant), BOUNDS)


def fetched(answer: object) -> Any:
    return SourceFetcher(lambda: BOUNDS, FakeClock(NOW))._accepted(answer)


def aws(left: timedelta, skew_s: float | None) -> AwsObtained:
    key = AwsCredentials(access_key_id="ASIA", secret_access_key=Secret("s"), expires_at=NOW + left, region="eu-west-1")
    return AwsObtained(credentials=key, origin=Origin.AWS_METADATA, skew_s=skew_s)


@pytest.mark.parametrize(
    ("skew_s", "left"),
    [
        (None, 2 * HOUR),
        (0, 2 * HOUR),
        (59, 2 * HOUR),
        (-3600, 2 * HOUR),
        (60, 2 * HOUR - timedelta(minutes=1)),
        (3600, HOUR),
    ],
)
def test_a_clock_that_is_behind_ends_them_earlier(skew_s: float | None, left: timedelta) -> None:
    assert fetched(aws(2 * HOUR, skew_s)).expires_at == NOW + left


@pytest.mark.parametrize("skew_s", [0, 3600])
def test_what_has_expired_on_arrival_is_a_failure(skew_s: float) -> None:
    with pytest.raises(Unavailable) as raised:
        fetched(aws(timedelta(seconds=1) + timedelta(seconds=skew_s), skew_s))
    assert (raised.value.code, raised.value.retry) == ("expired-on-arrival", True)
    assert "clock" in raised.value.hint


def test_the_region_and_the_skew_are_remembered() -> None:
    fetcher = SourceFetcher(lambda: BOUNDS, FakeClock(NOW))
    fetcher._accepted(aws(HOUR, 7.0))
    assert (fetcher.region, fetcher.skew_s) == ("eu-west-1", 7.0)
    token = GoogleToken(access_token=Secret("t"), expires_at=NOW + HOUR)
    fetcher._accepted(GoogleObtained(token=token, origin=Origin.GOOGLE_METADATA, skew_s=3600.0))
    assert (fetcher.region, fetcher.skew_s) == ("eu-west-1", 3600.0)


def test_another_answer_than_credentials_is_a_defect() -> None:
    with pytest.raises(InternalError):
        fetched(job_responses.Stored())


# ---- whose the machine's credentials are, and what else there is to say of them


class Helper:
    """Stands for the helper process of a machine whose role is `role`; STS tells `principal`, or nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.role, self.principal = "node", "arn:aws:sts::1:assumed-role/node/i-1"
        self.notices: tuple[str, ...] = ("expiry-far",)
        self.questions = 0
        self.clock = FakeClock(NOW)
        self.fetcher = SourceFetcher(lambda: BOUNDS, self.clock)
        monkeypatch.setattr("credagent.cloud_helper.helper_call.call", self._call)

    def obtain(self) -> str:
        return asyncio.run(self.fetcher(MachineSource(slot=Slot.AWS))).principal

    async def _call(self, request: job_requests.AwsMachineIdentity) -> AwsObtained:
        asked = self.role != request.known_role
        self.questions += asked
        notices = tuple(job_responses.Notice(code=code, why="…") for code in self.notices)
        principal = self.principal if asked else ""
        return structs.replace(aws(HOUR, 0.0), role=self.role, principal=principal, notices=notices)


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> Helper:
    log._waiting.clear()
    return Helper(monkeypatch)


def test_sts_is_asked_once_for_a_role_and_again_for_another(helper: Helper) -> None:
    assert [helper.obtain() for _ in range(5)] == [helper.principal] * 5
    assert helper.questions == 1
    helper.role, helper.principal = "other", "arn:aws:sts::1:assumed-role/other/i-1"
    assert [helper.obtain() for _ in range(5)] == [helper.principal] * 5
    assert helper.questions == 2


def test_an_sts_that_does_not_say_is_asked_once_an_hour_at_most(helper: Helper) -> None:
    principal, helper.principal = helper.principal, ""
    assert [helper.obtain() for _ in range(5)] == [""] * 5
    assert helper.questions == 1
    helper.principal = principal
    helper.clock._monotonic += 3601
    assert [helper.obtain() for _ in range(5)] == [principal] * 5
    assert helper.questions == 2


def test_where_the_platform_names_no_role_each_renewal_asks(helper: Helper) -> None:
    helper.role = ""
    helper.fetcher._whose = KnownPrincipal(role="before", principal="arn:before")
    answered = structs.replace(aws(HOUR, 0.0), principal="arn:now")
    assert helper.fetcher._accepted(answered).principal == "arn:now"
    assert helper.fetcher._accepted(aws(HOUR, 0.0)).principal == ""


def test_what_there_is_to_say_of_credentials_is_logged_when_it_is_new(helper: Helper) -> None:
    def noted() -> list[tuple[str, str]]:
        return [(level, str(fields["code"])) for level, event, fields in log._waiting if event == "credentials_noted"]

    for _ in range(3):
        helper.obtain()
    assert noted() == [("warning", "expiry-far")]
    helper.notices = ("principal-unknown", "clock-skew")
    helper.obtain()
    assert noted() == [("warning", "expiry-far"), ("info", "principal-unknown")]
    helper.notices = ("expiry-far",)
    helper.obtain()
    assert len(noted()) == 3


@pytest.mark.parametrize("skew_s", [2.5e11, -2.5e11, float("inf"), float("nan")])
def test_an_absurd_date_of_the_service_spoils_nothing(skew_s: float) -> None:
    """`Date: Fri, 31 Dec 9999 23:59:59 GMT`: no clock of ours is that wrong."""
    assert fetched(aws(2 * HOUR, skew_s)).expires_at == NOW + 2 * HOUR


def test_a_machine_whose_clock_begins_in_1970_is_believed_to_be_behind() -> None:
    behind = 56 * 365 * 86_400.0
    ends = timedelta(seconds=behind) + 2 * HOUR
    assert fetched(aws(ends, behind)).expires_at == NOW + 2 * HOUR
