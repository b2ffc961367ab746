"""Five minutes of 20-second credentials, their expiry enforced, ten clients at once: not one read may fail."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.matrix import tasks
from tests.matrix.machine import Machine, Setting

SOAK_S = float(os.environ.get("CREDAGENT_TEST_SOAK_S", "300"))
LIFETIME_S = 20
ROWS = (
    "boto3 own",
    "boto3 default",
    "aiobotocore",
    "s3fs",
    "pyarrow S3",
    "polars",
    "deltalake",
    "obstore S3",
    "rasterio",
    "google-cloud-storage",
)

pytestmark = [pytest.mark.timeout(SOAK_S + 600), pytest.mark.filterwarnings("ignore")]


def test_no_read_fails_while_credentials_live_for_20_seconds() -> None:
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, Setting("endpoint"), lifetime_s=LIFETIME_S)
        client, workers = machine.start_cluster(ROWS)
        with client:
            first = {row: client.submit(tasks.first_use, row, workers=[at]) for row, at in workers.items()}
            assert {row: future.result(120) for row, future in first.items()} == dict.fromkeys(ROWS, tasks.OK)
            reads = {
                row: client.submit(tasks.keep_reading, row, SOAK_S, 0.5, workers=[at]) for row, at in workers.items()
            }
            outcomes = {row: future.result(SOAK_S + 120) for row, future in reads.items()}
        assert {row: [said for said in found if said] for row, found in outcomes.items()} == {row: [] for row in ROWS}
        identities = {row: {call["credential"] for call in machine.used(row, 0)} for row in ROWS}
        assert {row for row, seen in identities.items() if len(seen) < SOAK_S / LIFETIME_S} == set()
