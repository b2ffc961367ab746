"""Options and a local identity become statements, grants and one `not_after`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credagent.admission.denied_variables import MAX_ALL_BYTES, MAX_NAME_CHARACTERS, MAX_VALUE_BYTES
from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
)
from credagent.credentials import Slot, Statement
from credagent.errors import UsageError
from credagent.secret import Secret
from credagent.sender.compose_bundle import LocalIdentity, compose
from credagent.sender.grant_options import GrantOptions, check

NOTHING = LocalIdentity()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/reader"
SESSION = AwsSessionGrant(
    access_key_id="ASIAEXAMPLE",
    secret_access_key=Secret("s"),
    session_token=Secret("t"),
    expires_at=NOW + HOUR,
    region="eu-west-1",
)
TOKEN = GoogleAccessTokenGrant(access_token=Secret("ya29"), expires_at=NOW + HOUR / 2, project="p")


def composed(local: LocalIdentity = NOTHING, **options: Any) -> Bundle:
    return compose(GrantOptions(audience="c", **options), local, now=NOW, sequence=7, bundle_id="0" * 32)


def test_a_session_alone_ends_the_bundle_with_itself() -> None:
    bundle = composed(LocalIdentity(aws=SESSION))
    assert bundle.not_after == NOW + HOUR
    assert bundle.grants == (SESSION,)
    assert bundle.slots == {
        Slot.AWS: Statement.GRANTED,
        Slot.GOOGLE: Statement.DECLINED,
        Slot.ENVIRONMENT: Statement.DECLINED,
    }


def test_the_last_expiry_inside_ends_the_bundle() -> None:
    assert composed(LocalIdentity(aws=SESSION, google=TOKEN), google="local").not_after == NOW + HOUR


@pytest.mark.parametrize(
    ("local", "options"),
    [
        (LocalIdentity(aws=SESSION), {"variables": {"X": Secret("1")}}),
        (LocalIdentity(aws=SESSION), {"assume_role": ROLE}),
        (LocalIdentity(), {"aws": "none"}),
        (LocalIdentity(), {"aws": "none", "impersonate": "a@p.iam.gserviceaccount.com"}),
    ],
)
def test_what_renews_itself_or_has_no_expiry_is_bounded_by_valid_for(
    local: LocalIdentity, options: dict[str, Any]
) -> None:
    assert composed(local, **options).not_after == NOW + timedelta(days=30)
    assert composed(local, valid_for_s=60, **options).not_after == NOW + timedelta(minutes=1)


def test_a_role_is_assumed_from_the_local_session_for_an_hour_at_most() -> None:
    (grant,) = composed(LocalIdentity(aws=SESSION), assume_role=ROLE, duration_s=43_200).grants
    assert grant == AwsAssumeRoleGrant(role_arn=ROLE, duration_s=3600, region="eu-west-1", session=SESSION)


def test_without_a_session_the_machines_own_identity_assumes_the_role() -> None:
    (grant,) = composed(aws="none", assume_role=ROLE, duration_s=43_200).grants
    assert grant == AwsAssumeRoleGrant(role_arn=ROLE, duration_s=43_200)


def test_a_role_wanted_from_a_missing_session_is_not_taken_from_the_machine() -> None:
    bundle = composed(assume_role=ROLE, allow_missing=True)
    assert bundle.statement(Slot.AWS) is Statement.DECLINED


def test_an_account_is_impersonated_by_the_machine_or_with_the_local_token() -> None:
    target = "reader@p.iam.gserviceaccount.com"
    (own,) = composed(aws="none", impersonate=target).grants
    assert own == GoogleImpersonationGrant(target=target)
    (mine,) = composed(LocalIdentity(google=TOKEN), aws="none", google="local", impersonate=target).grants
    assert isinstance(mine, GoogleImpersonationGrant)
    assert mine.token is not None
    assert mine.project == "p"


def test_a_refresh_token_renews_itself() -> None:
    user = GoogleAuthorizedUserGrant(client_id="i", client_secret=Secret("s"), refresh_token=Secret("r"))
    bundle = composed(LocalIdentity(google=user), aws="none", google="local", allow_refresh_token=True)
    assert bundle.not_after == NOW + timedelta(days=30)


def test_withdrawn_wins_over_everything_the_options_grant() -> None:
    bundle = composed(
        LocalIdentity(aws=SESSION), withdrawn=frozenset({Slot.AWS, Slot.ENVIRONMENT}), variables={"X": Secret("1")}
    )
    assert bundle.statement(Slot.AWS) is Statement.WITHDRAWN
    assert bundle.statement(Slot.ENVIRONMENT) is Statement.WITHDRAWN
    assert bundle.grants == ()


def test_what_was_granted_and_is_lost_is_unavailable_not_declined() -> None:
    bundle = composed(LocalIdentity(lost=frozenset({Slot.AWS})))
    assert bundle.statement(Slot.AWS) is Statement.UNAVAILABLE


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": ""},
        {"aws": "profile:"},
        {"aws": "mine"},
        {"google": "profile:x"},
        {"assume_role": "reader"},
        {"impersonate": "reader"},
        {"duration_s": 0},
        {"valid_for_s": 10**9},
    ],
)
def test_what_no_bundle_can_say_is_a_usage_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        check(GrantOptions(**{"audience": "c", **wrong}))


def variables(**values: str) -> GrantOptions:
    return GrantOptions(audience="c", variables={name: Secret(value) for name, value in values.items()})


def test_variables_as_large_as_an_agent_takes_are_sealed() -> None:
    check(variables(**{"N" * MAX_NAME_CHARACTERS: "x"}))
    check(variables(A="x" * MAX_VALUE_BYTES))
    check(variables(A="x" * MAX_VALUE_BYTES, B="x" * MAX_VALUE_BYTES, C="x" * (MAX_VALUE_BYTES - 3)))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"N" * (MAX_NAME_CHARACTERS + 1): "x"}, "env-name"),
        ({"A": "\u20ac" * (MAX_VALUE_BYTES // 3 + 1)}, "variable-too-large"),
        ({f"A{number}": "x" * 1000 for number in range(MAX_ALL_BYTES // 1000 + 1)}, "variable-too-large"),
        ({"A-B": "x"}, "env-name"),
        ({"1A": "x"}, "env-name"),
    ],
)
def test_variables_that_agents_refuse_are_refused_where_they_are_sealed(given: dict[str, str], code: str) -> None:
    with pytest.raises(UsageError) as error:
        check(variables(**given))
    assert error.value.code == code
    assert "xxx" not in str(error.value) + error.value.hint
