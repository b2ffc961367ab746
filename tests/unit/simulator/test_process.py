"""The simulator as a process of its own, controlled from here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.patience import scaled
from tests.simulator import Remote, RemoteError

TESTS = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "--state-file", str(tmp_path / "state"), "--until-eof"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert json.loads((tmp_path / "state").read_text()) == ready
        yield ready
        process.communicate(timeout=scaled(5))
        assert process.returncode == 0


def test_it_is_controlled_and_read_from_another_process(started: dict[str, Any]) -> None:
    remote = Remote(started["addresses"]["admin"])
    remote.put_object("data", "k", b"\x00\xff")
    keys = remote.issue_session("dask-node", lifetime_s=60)
    s3 = boto3.client(
        "s3",
        endpoint_url=started["environ"]["AWS_ENDPOINT_URL_S3"],
        region_name="eu-central-1",
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=keys["session_token"],
    )
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"\x00\xff"
    assert remote.ids_used("s3", since=0) == ["session-1"]
    assert "secret" not in json.dumps(remote.log()).lower()


def test_a_control_that_is_wrong_is_refused(started: dict[str, Any]) -> None:
    remote = Remote(started["addresses"]["admin"])
    for wrong in (
        remote.no_such_control,
        lambda: remote.revoke("nobody-1"),
        lambda: remote.fault("sts", misspelt=True),
    ):
        with pytest.raises(RemoteError):
            wrong()
