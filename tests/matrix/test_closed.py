"""A slot that may not fall back, and no agent in reach: no client takes the machine's own identity in its place."""

import tempfile
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.matrix.closed import AWAY, CLOSED, NEVER, WITHDRAWN_STARTED, started
from tests.matrix.machine import Machine, Setting
from tests.matrix.programs import missing
from tests.matrix.reading import AWS_ROWS, GOOGLE_ROWS
from tests.matrix.results import SLIDES, Results

RUN_S = 900
OPEN = "not closed"
ROWS = {"aws": AWS_ROWS, "google": GOOGLE_ROWS}
MACHINES = {
    "endpoint": Setting("endpoint", forwarded=False, fallback="never"),
    "environment": Setting("environment", forwarded=False, fallback="never"),
    "Google": Setting("environment", forwarded=False, fallback="never", vendor="google"),
}
SHOWN = ("endpoint", "Google")  # where it is also shown that the identity is in reach: the handover does not matter

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=tuple(MACHINES))
def results(request: pytest.FixtureRequest) -> Results:
    """Start each client on a machine that was forwarded nothing and may not use its own identity."""
    setting = MACHINES[request.param]
    rows = [row for row in ROWS[setting.vendor] if not missing(row)]
    found = Results(rows, (OPEN, NEVER, WITHDRAWN_STARTED, AWAY))
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, setting, lifetime_s=3600)
        if request.param in SHOWN:
            started(machine, found, OPEN, rows, by_exec=False)
        started(machine, found, NEVER, rows)
        if setting.vendor == "google":  # of AWS, the columns of renewals show it
            machine.grant()
            machine.withdraw()
            started(machine, found, WITHDRAWN_STARTED, rows)
        machine.stop_agent()
        started(machine, found, AWAY, rows)
    found.keep(f"closed, {request.param}")
    return found


def test_nobody_slides_to_the_machines_own_identity_in_a_closed_slot(results: Results) -> None:
    wrong = {
        (row, column): (cell, results.reasons[row, column])
        for row, cells in results.cells.items()
        for column, cell in cells.items()
        if column != OPEN and cell not in CLOSED
    }
    assert wrong == {}


def test_everybody_would_have_it_without_us(results: Results) -> None:
    """Else the test above would show nothing."""
    would = {row: cells[OPEN] for row, cells in results.cells.items() if OPEN in cells}
    assert would == dict.fromkeys(would, SLIDES)
