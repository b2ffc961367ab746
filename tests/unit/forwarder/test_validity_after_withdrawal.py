"""After a withdrawal it is said until when a client that runs already may go on."""

from datetime import UTC, datetime, timedelta

import pytest

from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.forwarder.validity_after_withdrawal import FOR_EVER, HandedOut, handed_out
from credagent.secret import Secret
from tests.integration.letters import letter, session

NOW = datetime.now(UTC)
LONG_TERM = AwsSessionGrant(access_key_id="AKIA", secret_access_key=Secret("s"))
USER = GoogleAuthorizedUserGrant(
    client_id="c", client_secret=Secret("s"), refresh_token=Secret("t"), token_uri="https://x"
)


def bundle(*grants: Grant) -> Bundle:
    return letter(grants=grants)


@pytest.mark.parametrize(
    ("grant", "seconds"),
    [
        (session(1_800), 1_800),
        (AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", duration_s=3_600), 3_600),
        (AwsAssumeRoleGrant(role_arn="arn:aws:iam::123456789012:role/r", duration_s=900, session=session(1_800)), 900),
        (GoogleImpersonationGrant(target="a@b.c", lifetime_s=600), 600),
        (USER, 3_600),
    ],
)
def test_what_was_handed_out_lives_to_its_end(grant: Grant, seconds: int) -> None:
    until = handed_out(bundle(grant)).usable_until(NOW)
    assert until is not None
    assert abs((until - NOW).total_seconds() - seconds) < 60


def test_a_long_term_key_lives_for_ever_and_a_variable_has_no_expiry() -> None:
    assert handed_out(bundle(LONG_TERM)).usable_until(NOW) == FOR_EVER
    assert handed_out(bundle(EnvironmentGrant(variables={"A": Secret("b")}))).usable_until(NOW) is None


def test_the_latest_of_all_that_was_handed_out_counts_and_what_has_expired_does_not() -> None:
    early, late = (HandedOut(until=NOW + timedelta(minutes=minutes)) for minutes in (-5, 30))
    assert early.usable_until(NOW) is None
    assert late.and_then(early).usable_until(NOW) == early.and_then(late).usable_until(NOW) == late.until
    assert HandedOut().and_then(HandedOut()) == HandedOut()
