"""What a person is told of a bundle before it is sent: until when each slot has something."""

from datetime import UTC, datetime, timedelta

from credagent.bundle.contents import AwsSessionGrant, GoogleAccessTokenGrant
from credagent.bundle.sealing import new_bundle_id
from credagent.bundle.timestamps import text_of
from credagent.secret import Secret
from credagent.sender.bundle_draft import BundleDraft, describe
from credagent.sender.compose_bundle import LocalIdentity, compose
from credagent.sender.grant_options import GrantOptions

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, MONTH = text_of(NOW + timedelta(hours=1)), text_of(NOW + timedelta(days=30))
ROLE = "arn:aws:iam::111122223333:role/reader"
SESSION = AwsSessionGrant(
    access_key_id="ASIA",
    secret_access_key=Secret("s"),
    session_token=Secret("t"),
    expires_at=NOW + timedelta(hours=1),
)
TOKEN = GoogleAccessTokenGrant(access_token=Secret("t"), expires_at=NOW + timedelta(hours=1))


def told(options: GrantOptions, local: LocalIdentity) -> str:
    bundle = compose(options, local, now=NOW, sequence=1, bundle_id=new_bundle_id())
    return "\n".join(describe(BundleDraft(bundle=bundle)))


def test_a_session_ends_when_it_ends() -> None:
    assert f"until {HOUR}" in told(GrantOptions(audience="a"), LocalIdentity(aws=SESSION))


def test_a_role_that_is_assumed_from_a_session_is_renewed_for_as_long_as_that_lives() -> None:
    said = told(GrantOptions(audience="a", assume_role=ROLE), LocalIdentity(aws=SESSION))
    assert f"renewed by the agent until {HOUR}" in said
    assert MONTH not in said


def test_an_account_that_is_impersonated_with_a_token_is_renewed_for_as_long_as_that_lives() -> None:
    options = GrantOptions(audience="a", aws="none", google="local", impersonate="a@b.iam.gserviceaccount.com")
    said = told(options, LocalIdentity(google=TOKEN))
    assert f"renewed by the agent until {HOUR}" in said


def test_what_the_machine_asks_for_with_its_own_identity_is_renewed_for_as_long_as_the_bundle_is_valid() -> None:
    said = told(GrantOptions(audience="a", aws="none", assume_role=ROLE), LocalIdentity())
    assert f"renewed by the agent until {MONTH}" in said
