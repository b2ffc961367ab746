"""What the simulator's STS gives and refuses, as boto3 sees it."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.simulator import Simulator

Client = Callable[..., Any]
ROLE = "arn:aws:iam::123456789012:role/reader"


def refused_code(action: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        action()
    return raised.value.response["Error"]["Code"]


def test_a_user_is_named_and_gets_a_session(sim: Simulator, client: Client) -> None:
    sts = client("sts", sim.create_user("alice"))
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/alice"
    session = sts.get_session_token(DurationSeconds=900)["Credentials"]
    assert session["AccessKeyId"].startswith("ASIA")
    assert client("sts", session).get_caller_identity()["Arn"].endswith("user/alice")
    assert sim.credential(session["AccessKeyId"])["source"] == "user-1"
    assert sim.ids_used("sts") == ["user-1", "session-token-1"]


def test_a_session_gets_no_session_token(sim: Simulator, client: Client) -> None:
    session = client("sts", sim.create_user("alice")).get_session_token()["Credentials"]
    assert refused_code(client("sts", session).get_session_token) == "AccessDenied"


def test_what_was_asked_of_assume_role_is_recorded(sim: Simulator, client: Client) -> None:
    sim.create_role("reader", external_id="extern")
    assumed = client("sts", sim.create_user("alice")).assume_role(
        RoleArn=ROLE,
        RoleSessionName="dask",
        ExternalId="extern",
        DurationSeconds=900,
        Policy="{}",
        Tags=[{"Key": "cluster", "Value": "blue"}],
    )
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/dask"
    (call,) = sim.log("sts", "AssumeRole")
    assert call["details"] == {
        "role_arn": ROLE,
        "session_name": "dask",
        "external_id": "extern",
        "duration_s": 900,
        "policy": "{}",
        "tags": {"cluster": "blue"},
    }
    assert call["issued"] == "assume-role-1"


def test_a_role_is_assumed_only_by_whom_it_trusts(sim: Simulator, client: Client) -> None:
    sim.create_role("reader", trusts=["*:assumed-role/dask-node/*"])
    asked = {"RoleArn": ROLE, "RoleSessionName": "dask"}
    alice = client("sts", sim.create_user("alice"))
    node = client("sts", sim.issue_session("dask-node"))
    assert refused_code(lambda: alice.assume_role(**asked)) == "AccessDenied"
    assert node.assume_role(**asked)["Credentials"]
    sim.delete_role("reader")
    assert refused_code(lambda: node.assume_role(**asked)) == "AccessDenied"


@pytest.mark.parametrize("given", [{}, {"ExternalId": "wrong"}])
def test_a_role_that_demands_an_external_id_gets_it_or_refuses(
    sim: Simulator, client: Client, given: dict[str, str]
) -> None:
    sim.create_role("reader", external_id="extern")
    alice = client("sts", sim.create_user("alice"))
    assert refused_code(lambda: alice.assume_role(RoleArn=ROLE, RoleSessionName="dask", **given)) == "AccessDenied"


def test_a_chained_role_lasts_an_hour_at_most(sim: Simulator, client: Client) -> None:
    sim.create_role("reader", max_session_s=43_200)
    node = client("sts", sim.issue_session("dask-node"))
    alice = client("sts", sim.create_user("alice"))
    asked = {"RoleArn": ROLE, "RoleSessionName": "dask", "DurationSeconds": 7200}
    assert refused_code(lambda: node.assume_role(**asked)) == "ValidationError"
    assert alice.assume_role(**asked)["Credentials"]


def test_lifetimes_are_as_the_tests_say_whatever_was_asked(sim: Simulator, client: Client) -> None:
    sim.expire_after("sts", 20)
    session = client("sts", sim.create_user("alice")).get_session_token(DurationSeconds=3600)["Credentials"]
    left = session["Expiration"].timestamp() - sim.time()
    assert 18 < left <= 20


def test_the_sessions_of_a_deleted_role_are_refused(sim: Simulator, client: Client) -> None:
    node = client("sts", sim.issue_session("dask-node"))
    sim.delete_role("dask-node")
    assert refused_code(node.get_caller_identity) == "InvalidClientTokenId"


def test_a_web_identity_is_exchanged_if_its_token_is_known(sim: Simulator, client: Client) -> None:
    sim.create_role("reader")
    sim.trust_web_identity("a.jwt.here", role="reader")
    sts = client("sts", sim.create_user("nobody"))
    asked = {"RoleArn": ROLE, "RoleSessionName": "pod"}
    session = sts.assume_role_with_web_identity(WebIdentityToken="a.jwt.here", **asked)["Credentials"]
    assert client("sts", session).get_caller_identity()["Arn"].endswith("assumed-role/reader/pod")
    other = refused_code(lambda: sts.assume_role_with_web_identity(WebIdentityToken="other", **asked))
    assert other == "InvalidIdentityToken"


def test_wrong_keys_are_told_apart(sim: Simulator, client: Client) -> None:
    user = sim.create_user("alice")
    session = sim.issue_session("dask-node")
    unknown = {**user, "access_key_id": "AKIA0000000000000000"}
    wrong = {**user, "secret_access_key": "wrong"}
    cut = {**session, "session_token": "cut"}
    expired = sim.issue_session("dask-node", lifetime_s=-1)
    codes = [refused_code(client("sts", keys).get_caller_identity) for keys in (unknown, wrong, cut, expired)]
    assert codes == ["InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken"]


def test_a_clock_that_is_an_hour_off_is_refused_and_dated(sim: Simulator, client: Client) -> None:
    sim.skew(3600)
    with pytest.raises(ClientError) as raised:
        client("sts", sim.create_user("alice")).get_caller_identity()
    assert raised.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
