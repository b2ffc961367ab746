"""What the simulator's S3 serves and refuses, as boto3 sees it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.simulator import Simulator
from tests.unit.simulator.test_sts import refused_code

Client = Callable[..., Any]
ODD_KEY = "a b/ü+&=?#.txt"


@pytest.fixture
def s3(sim: Simulator, client: Client) -> Any:
    sim.create_bucket("data")
    return client("s3", sim.issue_session("dask-node"))


@pytest.mark.parametrize("key", ["plain", ODD_KEY, "a//b", "tilde~*'()"])
def test_what_was_put_is_got(sim: Simulator, s3: Any, key: str) -> None:
    s3.put_object(Bucket="data", Key=key, Body=b"hello", ContentType="text/plain", Metadata={"who": "me"})
    got = s3.get_object(Bucket="data", Key=key)
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"hello", "text/plain", {"who": "me"})
    assert s3.head_object(Bucket="data", Key=key)["ContentLength"] == 5
    assert sim.ids_used("s3", "GetObject") == ["session-1"]


def test_a_stream_is_put_in_chunks(sim: Simulator, s3: Any) -> None:
    s3.put_object(Bucket="data", Key="k", Body=b"x" * 300_000, ChecksumAlgorithm="CRC32")
    assert s3.head_object(Bucket="data", Key="k")["ContentLength"] == 300_000


def test_a_large_object_is_put_in_parts(tmp_path: Any, s3: Any) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 40_000)
    s3.upload_file(str(path), "data", "large")
    assert s3.get_object(Bucket="data", Key="large")["Body"].read() == path.read_bytes()


@pytest.mark.parametrize(
    ("wanted", "got"), [("bytes=1-2", b"el"), ("bytes=3-", b"lo"), ("bytes=-2", b"lo"), ("bytes=0-99", b"hello")]
)
def test_a_range_is_a_part_of_the_object(sim: Simulator, s3: Any, wanted: str, got: bytes) -> None:
    sim.put_object("data", "k", "hello")
    response = s3.get_object(Bucket="data", Key="k", Range=wanted)
    assert response["Body"].read() == got
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_a_range_beyond_the_end_is_refused(sim: Simulator, s3: Any) -> None:
    sim.put_object("data", "k", "hello")
    assert refused_code(lambda: s3.get_object(Bucket="data", Key="k", Range="bytes=5-")) == "InvalidRange"


def test_listings_have_pages_and_folders(sim: Simulator, s3: Any) -> None:
    for key in ("a/1", "a/2", "b/3", ODD_KEY, "top"):
        sim.put_object("data", key, "x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="data", PaginationConfig={"PageSize": 2})
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == [ODD_KEY, "a/1", "a/2", "b/3", "top"]
    folded = s3.list_objects_v2(Bucket="data", Delimiter="/")
    assert [entry["Prefix"] for entry in folded["CommonPrefixes"]] == ["a b/", "a/", "b/"]
    assert [entry["Key"] for entry in folded["Contents"]] == ["top"]
    assert [entry["Key"] for entry in s3.list_objects(Bucket="data", Prefix="a/")["Contents"]] == ["a/1", "a/2"]


def test_objects_are_copied_and_deleted(sim: Simulator, s3: Any) -> None:
    sim.put_object("data", ODD_KEY, "hello")
    s3.copy_object(Bucket="data", Key="copy", CopySource={"Bucket": "data", "Key": ODD_KEY})
    assert sim.get_object("data", "copy") == "hello"
    s3.delete_object(Bucket="data", Key="copy")
    s3.delete_objects(Bucket="data", Delete={"Objects": [{"Key": ODD_KEY}]})
    assert s3.list_objects_v2(Bucket="data")["KeyCount"] == 0


def test_an_object_that_exists_is_not_overwritten_where_that_was_forbidden(sim: Simulator, s3: Any) -> None:
    sim.put_object("data", "k", "first")
    code = refused_code(lambda: s3.put_object(Bucket="data", Key="k", Body=b"second", IfNoneMatch="*"))
    assert code == "PreconditionFailed"


def test_the_region_is_told(sim: Simulator, s3: Any) -> None:
    assert s3.get_bucket_location(Bucket="data")["LocationConstraint"] == "eu-central-1"
    assert s3.head_bucket(Bucket="data")["BucketRegion"] == "eu-central-1"


def test_what_is_not_there_is_not_found(s3: Any) -> None:
    assert refused_code(lambda: s3.get_object(Bucket="data", Key="none")) == "NoSuchKey"
    assert refused_code(lambda: s3.list_objects_v2(Bucket="none")) == "NoSuchBucket"
    assert refused_code(lambda: s3.head_object(Bucket="data", Key="none")) == "404"


def test_credentials_are_refused_for_the_reason_that_aws_gives(sim: Simulator, client: Client) -> None:
    sim.put_object("data", "k", "hello")
    session = sim.issue_session("dask-node")
    cases = {
        "InvalidAccessKeyId": {**session, "access_key_id": "ASIA0000000000000000"},
        "SignatureDoesNotMatch": {**session, "secret_access_key": "wrong"},
        "InvalidToken": {**session, "session_token": "wrong"},
        "ExpiredToken": sim.issue_session("dask-node", lifetime_s=-1),
    }
    for code, keys in cases.items():
        reader = client("s3", keys)
        assert refused_code(partial(reader.get_object, Bucket="data", Key="k")) == code
    assert [call["code"] for call in sim.log("s3")] == list(cases)
    assert sim.log("s3")[-1]["credential"] == "session-2"
    assert sim.ids_used("s3") == []


def test_a_revoked_session_is_denied(sim: Simulator, s3: Any) -> None:
    sim.put_object("data", "k", "hello")
    sim.revoke("session-1")
    assert refused_code(lambda: s3.get_object(Bucket="data", Key="k")) == "AccessDenied"


def test_nobody_reads_without_a_signature(sim: Simulator) -> None:
    import boto3

    sim.put_object("data", "k", "hello")
    anonymous = boto3.client(
        "s3",
        endpoint_url=sim.addresses()["s3"],
        region_name="eu-central-1",
        config=Config(signature_version=UNSIGNED),
    )
    assert refused_code(lambda: anonymous.get_object(Bucket="data", Key="k")) == "AccessDenied"
    assert sim.log("s3")[0]["credential"] is None


def test_a_bucket_may_have_its_own_readers(sim: Simulator, client: Client) -> None:
    sim.create_bucket("private", readers=["*:user/alice"])
    sim.put_object("private", "k", "hello")
    alice = client("s3", sim.create_user("alice"))
    node = client("s3", sim.issue_session("dask-node"))
    assert alice.get_object(Bucket="private", Key="k")["Body"].read() == b"hello"
    assert refused_code(lambda: node.get_object(Bucket="private", Key="k")) == "AccessDenied"


def test_a_body_that_is_not_what_was_signed_is_refused(sim: Simulator, s3: Any) -> None:
    def bend(request: Any, **_: Any) -> None:
        request.body = b"other"

    s3.meta.events.register("before-send.s3.PutObject", bend)
    with pytest.raises(ClientError):
        s3.put_object(Bucket="data", Key="k", Body=b"hello", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==")
    assert sim.get_object("data", "k") is None
