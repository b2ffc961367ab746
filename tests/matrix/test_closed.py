"""A slot that may not fall back, and no agent in reach: no library takes the machine's own identity in its place."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.demo.stage import BIN, Stage
from tests.matrix.machine import Machine
from tests.matrix.reading import AWS_ROWS

RUN_S, READ_S = 600, 40.0  # a library that is still trying after that has not slid either
AT_A_TIME = 3
READ = "import sys; from tests.matrix import tasks; sys.exit(tasks.first_use(sys.argv[1]))"
CLOSED = {"CREDAGENT_BUNDLE_EXPECT": "required", "CREDAGENT_WORKER_WAIT": "0s"}

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Give a machine with an identity of its own, whose agent is away."""
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        found = Machine(stage, "environment", lifetime_s=3600)
        found.stop_agent()
        yield found


def calls(machine: Machine, row: str, more: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read as `exec` lets a program, and return the signed calls that came of it."""
    environ = {**machine.worker_environ(), "CREDAGENT_SOCKET": f"{machine.run_dir}/absent.sock", **more}
    started = [str(BIN / "credagent"), "exec", "--config", str(machine.stage.folder / "config.toml"), "--"]
    since = machine.cloud.last_seq()
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*started, sys.executable, "-c", READ, row], env=environ, capture_output=True, timeout=READ_S, check=False
        )
    return [call for call in machine.used(row, since) if call["credential"] is not None]


def test_nobody_slides_to_the_machines_own_identity_in_a_closed_slot(machine: Machine) -> None:
    since = machine.cloud.last_seq()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = dict(zip(AWS_ROWS, pool.map(lambda row: calls(machine, row, CLOSED), AWS_ROWS), strict=True))
    assert found == {row: [] for row in AWS_ROWS}
    assert machine.cloud.log(service="imds", since=since) == []


@pytest.mark.parametrize("row", ["boto3 own", "obstore S3", "rasterio"])
def test_in_an_open_slot_it_is_within_reach(machine: Machine, row: str) -> None:
    """Else the test above would show nothing."""
    assert calls(machine, row, {"CREDAGENT_WORKER_WAIT": "0s"})
