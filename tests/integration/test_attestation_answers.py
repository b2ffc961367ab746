"""Who answers in STS's place changes nothing: a rebuilt request, and answers that were altered on their way."""

from datetime import UTC, datetime
from typing import Any

import pytest

from credagent.attestation import proof
from credagent.attestation.proof import AwsProof
from credagent.cloud_helper.attestation import aws_proof, aws_verification
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http import https_client
from credagent.credentials import AwsCredentials
from credagent.errors import Refused
from credagent.secret import Secret
from tests.simulator import Simulator

BINDING = "b" * 43


def proven(simulator: Simulator, **session: Any) -> AwsProof:
    issued = simulator.issue_session("dask-node", "i-0abc", **session)
    return aws_proof.signed(
        AwsCredentials(
            access_key_id=issued["access_key_id"],
            secret_access_key=Secret(issued["secret_access_key"]),
            session_token=Secret(issued["session_token"]),
            region="eu-central-1",
        ),
        BINDING,
    )


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Simulator() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", found.addresses()["sts"])
        yield found


def verify(found: AwsProof, binding: str = BINDING) -> Any:
    return aws_verification.verify(https_client.open_session(), found, binding, now=datetime.now(UTC))


def refused(found: AwsProof) -> str:
    try:
        verify(found)
    except (Refused, CloudFailure) as error:
        return error.code
    raise AssertionError("it was believed")


def test_the_host_that_is_signed_for_is_awss_wherever_it_is_asked(simulator: Simulator) -> None:
    assert verify(proven(simulator)).arn == "arn:aws:sts::123456789012:assumed-role/dask-node/i-0abc"
    (call,) = simulator.log("sts")
    assert (call["method"], call["path"], call["operation"]) == ("GET", "/", "GetCallerIdentity")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/elsewhere"}}, "attestation-redirected"),
        ({"status": 307, "headers": {"Location": "https://sts.amazonaws.com/"}}, "attestation-redirected"),
        ({"body": "x" * 20_000, "headers": {"Content-Type": "application/json"}}, "attestation-answer-too-large"),
        ({"headers": {"Content-Type": "text/xml"}}, "attestation-answer-not-json"),
        ({"garbage": True}, "attestation-answer-not-json"),
        ({"truncate": True}, "malformed-answer"),
        ({"status": 503}, "service-error"),
        ({"status": 400, "code": "Throttling"}, "throttled"),
        ({"drop": True}, "unreachable"),
    ],
)
def test_an_answer_that_is_not_stss_is_none(simulator: Simulator, fault: dict[str, Any], expected: str) -> None:
    simulator.fault("sts", "GetCallerIdentity", **fault)
    assert refused(proven(simulator)) == expected


@pytest.mark.parametrize("part", ["region", "access_key_id", "signed_at", "signature", "session_token"])
def test_an_altered_proof_is_none(simulator: Simulator, part: str) -> None:
    sound, other = proven(simulator), proven(simulator)
    changed = {
        "region": "eu-west-1",
        "access_key_id": other.access_key_id,
        "signed_at": sound.signed_at.replace("Z", "").removesuffix(sound.signed_at[-2]) + "0Z",
        "signature": "0" * 64,
        "session_token": other.session_token,
    }
    if changed[part] == getattr(sound, part):
        changed[part] = sound.signed_at[:-2] + "1Z"
    fields = {name: getattr(sound, name) for name in sound.__struct_fields__}
    assert refused(AwsProof(**{**fields, part: changed[part]})) in ("attestation-mismatch", "attestation-key-unknown")


def test_a_session_that_has_ended_attests_nothing_any_more(simulator: Simulator) -> None:
    assert refused(proven(simulator, lifetime_s=-1)) == "attestation-session-ended"


def test_a_proof_logs_in_nowhere_else_it_holds_no_request_and_no_secret(simulator: Simulator) -> None:
    issued = simulator.issue_session("dask-node", "i-0abc")
    text = proven(simulator).text
    assert issued["secret_access_key"] not in text
    assert not any(word in text for word in ("POST", "http", "Action", "amazonaws"))
    assert proof.parse(text).text == text
