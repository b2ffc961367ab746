"""A slot that may not fall back, and no agent in reach: no client takes the machine's own identity in its place."""

import tempfile
from pathlib import Path

import pytest

from credagent.worker_environment.handover_variables import AWS_CLOSED
from tests.demo.stage import Stage
from tests.matrix.closed import AWAY, CLOSED, NEVER, ONE_VARIABLE, OPEN, WITHDRAWN_STARTED, started
from tests.matrix.expected import HELD_BY_INTERCEPTION_ALONE, HELD_BY_VARIABLE
from tests.matrix.machine import Machine, Setting
from tests.matrix.programs import missing
from tests.matrix.reading import AWS_ROWS, GOOGLE_ROWS
from tests.matrix.results import SLIDES, Results

RUN_S = 900
ROWS = {"aws": AWS_ROWS, "google": GOOGLE_ROWS}
MACHINES = {
    "endpoint": Setting("endpoint", forwarded=False, fallback="never"),
    "environment": Setting("environment", forwarded=False, fallback="never"),
    "Google": Setting("environment", forwarded=False, fallback="never", vendor="google"),
}
SHOWN = ("endpoint", "Google")  # where it is also shown that the identity is in reach: the handover does not matter
AT_ONCE = ("env", "CREDAGENT_WORKER_WAIT=0s")  # the agent is not waited for

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=tuple(MACHINES))
def results(request: pytest.FixtureRequest) -> Results:
    """Start each client on a machine that was forwarded nothing and may not use its own identity."""
    setting = MACHINES[request.param]
    rows = [row for row in ROWS[setting.vendor] if not missing(row)]
    found = Results(rows, (OPEN, ONE_VARIABLE, NEVER, WITHDRAWN_STARTED, AWAY))
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, setting, lifetime_s=3600)
        if request.param in SHOWN:
            started(machine, found, OPEN, rows, lambda _, *command: machine.bare(*command))
        if request.param == "endpoint":
            held = [row for row in rows if row in HELD_BY_VARIABLE]
            started(machine, found, ONE_VARIABLE, held, lambda row, *command: machine.bare(*command, more=_one(row)))
        started(machine, found, NEVER, rows)
        if setting.vendor == "google":  # of AWS, the columns of renewals show it
            machine.grant()
            machine.withdraw()
            started(machine, found, WITHDRAWN_STARTED, rows)
        machine.stop_agent()
        started(machine, found, AWAY, rows, lambda _, *command: [*AT_ONCE, *machine.by_exec(*command)])
    found.keep(f"closed, {request.param}")
    return found


def _one(row: str) -> dict[str, str]:
    name = HELD_BY_VARIABLE[row]
    return {name: AWS_CLOSED[name]}


def test_nobody_slides_to_the_machines_own_identity_in_a_closed_slot(results: Results) -> None:
    wrong = {
        (row, column): (cell, results.reasons[row, column])
        for row, cells in results.cells.items()
        for column, cell in cells.items()
        if column != OPEN and cell not in CLOSED and row not in HELD_BY_INTERCEPTION_ALONE
    }
    assert wrong == {}


def test_what_obeys_no_variable_is_known(results: Results) -> None:
    """Interception is for these, and only for these: one that begins to obey leaves the list."""
    known = HELD_BY_INTERCEPTION_ALONE & results.cells.keys()
    assert {row for row, column in results.slid().items() if NEVER in column} == known


def test_everybody_would_have_it_without_us(results: Results) -> None:
    """Else the test above would show nothing."""
    would = {row: cells[OPEN] for row, cells in results.cells.items() if OPEN in cells}
    assert would == dict.fromkeys(would, SLIDES)
