"""A slot that may not fall back, and no agent in reach: no client takes the machine's own identity in its place."""

import tempfile
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.matrix.closed import AWAY, CLOSED, NEVER, started
from tests.matrix.machine import Machine, Setting
from tests.matrix.programs import missing
from tests.matrix.reading import AWS_ROWS
from tests.matrix.results import SLIDES, Results

RUN_S = 900
OPEN = "not closed"

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=["endpoint", "environment"])
def results(request: pytest.FixtureRequest) -> Results:
    """Start each client on a machine that was forwarded nothing and may not use its own identity."""
    rows = [row for row in AWS_ROWS if not missing(row)]
    found = Results(rows, (OPEN, NEVER, AWAY))
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, Setting(request.param, forwarded=False, fallback="never"), lifetime_s=3600)
        started(machine, found, OPEN, rows, by_exec=False)
        started(machine, found, NEVER, rows)
        machine.stop_agent()
        started(machine, found, AWAY, rows)
    found.keep(f"closed, {request.param}")
    return found


def test_nobody_slides_to_the_machines_own_identity_in_a_closed_slot(results: Results) -> None:
    wrong = {
        (row, column): (cells[column], results.reasons[row, column])
        for row, cells in results.cells.items()
        for column in (NEVER, AWAY)
        if cells[column] not in CLOSED
    }
    assert wrong == {}


def test_everybody_would_have_it_without_us(results: Results) -> None:
    """Else the test above would show nothing."""
    assert {row: cells[OPEN] for row, cells in results.cells.items()} == dict.fromkeys(results.cells, SLIDES)
