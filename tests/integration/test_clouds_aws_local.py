"""The sender's own AWS identity, by real boto3 chains in a real helper process."""

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from credagent.cloud_helper.job_requests import AwsLocalIdentity
from credagent.credentials import Origin
from tests.integration.clouds import NOWHERE, WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud"]

LOCAL = AwsLocalIdentity()


def long_term(cloud: Cloud) -> dict[str, str]:
    """Return the variables of a user's key on a laptop."""
    key = cloud.simulator.create_user("ada")
    return {
        **WITHOUT_MACHINE,
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
    }


def session(cloud: Cloud, lifetime_s: float = 7200) -> dict[str, str]:
    """Return the variables of a role's session on a laptop."""
    issued = cloud.simulator.issue_session("dask-node", lifetime_s=lifetime_s)
    return {
        **WITHOUT_MACHINE,
        "AWS_ACCESS_KEY_ID": issued["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": issued["secret_access_key"],
        "AWS_SESSION_TOKEN": issued["session_token"],
    }


def iso(moment: datetime) -> str:
    """Return the time as AWS writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def configured(cloud: Cloud, text: str) -> None:
    """Write the user's `~/.aws/config`."""
    (cloud.home / ".aws").mkdir(exist_ok=True)
    (cloud.home / ".aws" / "config").write_text(text)


def test_a_long_term_key_becomes_a_session(cloud: Cloud) -> None:
    obtained = cloud.ask(LOCAL, **long_term(cloud))
    assert obtained.credentials.access_key_id.startswith("ASIA")
    assert obtained.credentials.session_token
    assert (obtained.principal, obtained.account) == ("arn:aws:iam::123456789012:user/ada", "123456789012")
    assert (obtained.method, obtained.expiry_known, obtained.origin) == ("env", True, Origin.BUNDLE)


def test_the_session_of_a_long_term_key_lives_as_long_as_asked(cloud: Cloud) -> None:
    obtained = cloud.ask(AwsLocalIdentity(duration_s=1800), **long_term(cloud))
    assert obtained.credentials.expires_at is not None
    left = obtained.credentials.expires_at - datetime.now(UTC)
    assert timedelta(minutes=28) < left <= timedelta(minutes=30)


def test_a_long_term_key_goes_as_it_is_only_where_that_was_said(cloud: Cloud) -> None:
    environ = long_term(cloud)
    obtained = cloud.ask(AwsLocalIdentity(allow_long_term=True), **environ)
    assert obtained.credentials.access_key_id == environ["AWS_ACCESS_KEY_ID"]
    assert obtained.credentials.session_token is None
    assert obtained.credentials.expires_at is None


def test_a_session_whose_expiry_the_environment_knows_keeps_it(cloud: Cloud) -> None:
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    obtained = cloud.ask(LOCAL, **session(cloud), AWS_CREDENTIAL_EXPIRATION=iso(expires_at))
    assert (obtained.credentials.expires_at, obtained.expiry_known) == (expires_at, True)


def test_a_session_whose_expiry_nobody_knows_is_forwarded_for_a_quarter_of_an_hour(cloud: Cloud) -> None:
    obtained = cloud.ask(LOCAL, **session(cloud))
    assert obtained.credentials.expires_at is not None
    assert obtained.credentials.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert not obtained.expiry_known
    assert [notice.code for notice in obtained.notices] == ["expiry-unknown"]


def test_a_person_may_say_how_long_such_a_session_lives(cloud: Cloud) -> None:
    obtained = cloud.ask(AwsLocalIdentity(duration_s=7200), **session(cloud))
    assert obtained.credentials.expires_at is not None
    assert obtained.credentials.expires_at - datetime.now(UTC) > timedelta(minutes=119)
    assert not obtained.expiry_known


def test_a_session_that_has_expired_is_not_forwarded(cloud: Cloud) -> None:
    past = iso(datetime.now(UTC) - timedelta(minutes=1))
    assert cloud.refused(LOCAL, **session(cloud), AWS_CREDENTIAL_EXPIRATION=past).code == "expired-token"
    assert cloud.refused(LOCAL, **session(cloud, lifetime_s=0)).code == "expired-token"


def test_an_instance_that_sends_keeps_the_real_expiry_of_its_role(cloud: Cloud) -> None:
    cloud.simulator.expire_after("imds", 60)
    obtained = cloud.ask(LOCAL)
    assert obtained.method == "iam-role"
    assert obtained.credentials.expires_at is not None
    assert obtained.credentials.expires_at - datetime.now(UTC) <= timedelta(seconds=60)


def test_nothing_at_all_is_no_local_identity(cloud: Cloud) -> None:
    error = cloud.refused(LOCAL, **WITHOUT_MACHINE)
    assert (error.code, error.retry) == ("no-local-identity", False)
    assert "aws configure" in error.hint


def test_a_laptop_whose_metadata_is_not_switched_off_has_no_local_identity_either(cloud: Cloud) -> None:
    laptop = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": NOWHERE}
    assert cloud.refused(LOCAL, **laptop).code == "no-local-identity"


def test_a_profile_that_demands_metadata_says_that_there_is_none(cloud: Cloud) -> None:
    role = "arn:aws:iam::123456789012:role/r"
    configured(cloud, f"[profile work]\nrole_arn = {role}\ncredential_source = Ec2InstanceMetadata\n")
    error = cloud.refused(AwsLocalIdentity(profile="work"), AWS_EC2_METADATA_SERVICE_ENDPOINT=NOWHERE)
    assert error.code == "metadata-unreachable"


def test_the_credential_process_of_a_profile_says_when_its_session_expires(cloud: Cloud) -> None:
    issued, expires_at = session(cloud), datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    document = {
        "Version": 1,
        "AccessKeyId": issued["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": issued["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": issued["AWS_SESSION_TOKEN"],
        "Expiration": iso(expires_at),
    }
    program = cloud.home / "give.py"
    program.write_text(f"print({json.dumps(document)!r})")
    configured(cloud, f"[profile work]\nregion = eu-west-3\ncredential_process = {sys.executable} {program}\n")
    obtained = cloud.ask(AwsLocalIdentity(profile="work"), **WITHOUT_MACHINE)
    assert (obtained.method, obtained.credentials.expires_at) == ("custom-process", expires_at)


def test_a_profile_that_assumes_a_role_keeps_its_real_expiry(cloud: Cloud) -> None:
    arn = cloud.simulator.create_role("reader")
    key = long_term(cloud)
    configured(
        cloud,
        f"[profile base]\naws_access_key_id = {key['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {key['AWS_SECRET_ACCESS_KEY']}\n"
        f"[profile work]\nrole_arn = {arn}\nsource_profile = base\n",
    )
    obtained = cloud.ask(AwsLocalIdentity(profile="work"), **WITHOUT_MACHINE)
    assert obtained.method == "assume-role"
    assert obtained.expiry_known
    assert ":assumed-role/reader/" in obtained.principal


SSO = """[profile work]
sso_start_url = https://x
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = reader
"""
SSO_SESSION = """[profile work]
sso_session = s
sso_account_id = 123456789012
sso_role_name = reader
[sso-session s]
sso_start_url = https://x
sso_region = eu-west-1
"""
ONE_TIME_CODE = """[profile base]
aws_access_key_id = AKIA
aws_secret_access_key = x
[profile work]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/ada
"""
ITSELF = "[profile work]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = work\n"


@pytest.mark.parametrize(
    ("configuration", "code", "hint"),
    [
        ("[profile other]\n", "no-profile", "list-profiles"),
        ("[profile work]\ncredential_process = false\n", "credential-process-failed", "by hand"),
        ("[profile work]\ncredential_process = echo secret\n", "credential-process-failed", "by hand"),
        ("[profile work]\ncredential_process = /nonexistent\n", "credential-process-failed", "by hand"),
        ("no section\n", "aws-configuration", "aws configure"),
        (ITSELF, "aws-configuration", "aws configure"),
        (SSO, "sso-expired", "aws sso login"),
        (SSO_SESSION, "sso-expired", "aws sso login"),
        (ONE_TIME_CODE, "mfa-needed", "aws configure export-credentials --profile work --format env"),
        (ONE_TIME_CODE, "mfa-needed", "--aws local"),
        ("[profile work]\nlogin_session = arn:aws:sts::1:assumed-role/a/b\n", "aws-crt-missing", "botocore[crt]"),
        ("[profile work]\naws_access_key_id = AKIA\n", "partial-credentials", "profile"),
    ],
)
def test_a_profile_that_gives_nothing_says_what_to_do(cloud: Cloud, configuration: str, code: str, hint: str) -> None:
    configured(cloud, configuration)
    error = cloud.refused(AwsLocalIdentity(profile="work"), **WITHOUT_MACHINE)
    assert error.code == code
    assert hint in error.hint
    assert "secret" not in str(error)


def test_a_profile_may_say_when_its_session_ends(cloud: Cloud) -> None:
    """saml2aws and its like write it; botocore does not read it."""
    issued = cloud.simulator.issue_session("dask-node", lifetime_s=7200)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    (cloud.home / ".aws").mkdir()

    def written(expiry: str) -> None:
        keys = ("access_key_id", "secret_access_key", "session_token")
        lines = [*(f"aws_{name} = {issued[name]}" for name in keys), f"x_security_token_expires = {expiry}"]
        (cloud.home / ".aws" / "credentials").write_text("\n".join(["[saml]", *lines, ""]))

    for text in (ends.isoformat(), iso(ends)):
        written(text)
        obtained = cloud.ask(AwsLocalIdentity(profile="saml"), **WITHOUT_MACHINE)
        assert (obtained.credentials.expires_at, obtained.expiry_known) == (ends, True)
    written("soon")
    assert not cloud.ask(AwsLocalIdentity(profile="saml"), **WITHOUT_MACHINE).expiry_known
    written("2020-01-01T00:00:00Z")
    assert cloud.refused(AwsLocalIdentity(profile="saml"), **WITHOUT_MACHINE).code == "expiry-past"


def test_a_session_key_without_its_token_is_said_to_lack_it(cloud: Cloud) -> None:
    environ = session(cloud)
    del environ["AWS_SESSION_TOKEN"]
    assert cloud.refused(LOCAL, **environ).code == "session-token-missing"


def test_a_wrong_secret_key_is_not_forwarded(cloud: Cloud) -> None:
    assert cloud.refused(LOCAL, **{**long_term(cloud), "AWS_SECRET_ACCESS_KEY": "x" * 40}).code == "key-mismatch"
    assert cloud.refused(LOCAL, **{**session(cloud), "AWS_SECRET_ACCESS_KEY": "x" * 40}).code == "key-mismatch"


def test_a_clock_that_is_an_hour_wrong_is_what_sts_refused(cloud: Cloud) -> None:
    environ = long_term(cloud)
    cloud.simulator.skew(3600)
    error = cloud.refused(LOCAL, **environ)
    assert error.code == "clock-skew"
    assert "behind" in error.why


@pytest.mark.parametrize(
    ("fault", "code", "retry"),
    [
        ({"status": 400, "code": "Throttling"}, "throttled", True),
        ({"status": 403, "code": "AccessDenied"}, "access-denied", False),
        ({"status": 500, "code": "InternalFailure"}, "service-error", True),
        ({"garbage": True}, "malformed-answer", True),
        ({"drop": True}, "unreachable", True),
    ],
)
def test_an_sts_that_refuses_a_session_is_told_by_its_reason(
    cloud: Cloud,
    fault: dict[str, object],
    code: str,
    retry: bool,  # noqa: FBT001  parametrised
) -> None:
    cloud.simulator.fault("sts", "GetSessionToken", **fault)
    error = cloud.refused(LOCAL, **long_term(cloud))
    assert (error.code, error.retry) == (code, retry)
