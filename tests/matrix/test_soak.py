"""Five minutes of credentials that live for seconds, their expiry enforced, ten clients at once."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from tests.demo.stage import Stage
from tests.matrix import tasks
from tests.matrix.machine import Machine, Setting

SOAK_S = float(os.environ.get("CREDAGENT_TEST_SOAK_S", "300"))
EVERY_S = 0.5
LIFETIME_S, LIFETIME_OF_THE_MACHINES_S = 20, 25
AWS = (
    "boto3 own",
    "boto3 default",
    "aiobotocore",
    "s3fs",
    "pyarrow S3",
    "polars",
    "deltalake",
    "obstore S3",
    "rasterio",
)
ROWS = (*AWS, "google-cloud-storage")
ROWS_ON_AWS = (*AWS, "opendal")
# Together a fifth of the answers; the services asked are few, the requests are not.
BAD_ANSWERS: tuple[dict[str, Any], ...] = ({"status": 500}, {"hang": True}, {"delay_s": 3.0})
SHARE = 0.2 / len(BAD_ANSWERS)

pytestmark = [pytest.mark.timeout(SOAK_S + 600), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Give a stage for one machine."""
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as found:
        yield found


def on_all(client: Client, workers: dict[str, str], task: Callable[..., Any], *arguments: object) -> dict[str, Any]:
    """Let each row's worker do a task."""
    futures = {row: client.submit(task, row, *arguments, workers=[at], pure=False) for row, at in workers.items()}
    return {row: future.result(SOAK_S + 120) for row, future in futures.items()}


def test_no_read_fails_while_credentials_live_for_20_seconds(stage: Stage) -> None:
    machine = Machine(stage, Setting("endpoint"), lifetime_s=LIFETIME_S)
    client, workers = machine.start_cluster(ROWS)
    with client:
        assert on_all(client, workers, tasks.first_use) == dict.fromkeys(ROWS, tasks.OK)
        outcomes = on_all(client, workers, tasks.keep_reading, SOAK_S, EVERY_S)
    assert {row: [said for said in found if said] for row, found in outcomes.items()} == {row: [] for row in ROWS}
    identities = {row: {call["credential"] for call in machine.used(row, 0)} for row in ROWS}
    assert {row for row, seen in identities.items() if len(seen) < SOAK_S / LIFETIME_S} == set()


def test_while_a_fifth_of_metadata_answers_is_bad_no_read_fails_that_a_fresh_session_could_have_made(
    stage: Stage,
) -> None:
    machine = Machine(stage, Setting("endpoint", forwarded=False), lifetime_s=LIFETIME_S)
    machine.cloud.expire_after("imds", LIFETIME_OF_THE_MACHINES_S)
    client, workers = machine.start_cluster(ROWS_ON_AWS)
    with client:
        assert on_all(client, workers, tasks.first_use) == dict.fromkeys(ROWS_ON_AWS, tasks.OK)
        for how in BAD_ANSWERS:
            machine.cloud.fault("imds", share=SHARE, **how)
        since = machine.cloud.last_seq()
        found = on_all(client, workers, tasks.keep_reading_beside_a_fresh_session, SOAK_S, EVERY_S)
        machine.cloud.clear_faults()
    assert {row: failed for row, (_, failed) in found.items() if any(could for _, could in failed)} == {}
    assert all(reads > SOAK_S / EVERY_S / 10 for reads, _ in found.values())
    struck = [call for call in machine.cloud.log(service="imds", since=since) if call["code"].startswith("fault:")]
    assert len(struck) > SOAK_S / 60  # else it would show nothing
