"""A slot that may not fall back, and no agent in reach: no client takes the machine's own identity in its place."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.worker_environment.handover_variables import AWS_CLOSED
from tests.demo.stage import Stage
from tests.matrix.closed import AWAY, CLOSED, ITS_VARIABLES, NEVER, OPEN, WITHDRAWN_STARTED, started
from tests.matrix.conftest import each
from tests.matrix.expected import HELD_BY_INTERCEPTION_ALONE, HELD_BY_VARIABLE
from tests.matrix.machine import Machine, Setting, may_intercept
from tests.matrix.programs import missing
from tests.matrix.reading import AWS_ROWS, GOOGLE_ROWS
from tests.matrix.results import SLIDES, Results

RUN_S = 900
ROWS = {"aws": AWS_ROWS, "google": GOOGLE_ROWS}
MACHINES = {
    "endpoint": Setting("endpoint", forwarded=False, fallback="never"),
    "environment": Setting("environment", forwarded=False, fallback="never"),
    "Google": Setting("environment", forwarded=False, fallback="never", vendor="google"),
    "intercepted": Setting("environment", forwarded=False, fallback="never", intercept=True),
    "Google, intercepted": Setting("environment", forwarded=False, fallback="never", vendor="google", intercept=True),
}
KNOWN = {(row, False) for row in HELD_BY_INTERCEPTION_ALONE}  # slides, unless there is interception
SHOWN = ("endpoint", "Google")  # where it is also shown that the identity is in reach: the handover does not matter
AT_ONCE = ("env", "CREDAGENT_WORKER_WAIT=0s")  # the agent is not waited for

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=each(MACHINES))
def results(request: pytest.FixtureRequest) -> tuple[bool, Results]:
    """Start each client on a machine that was forwarded nothing and may not use its own identity."""
    setting = MACHINES[request.param]
    if setting.intercept and not may_intercept():
        pytest.skip("interception needs root, setpriv and Debian's package nftables")
    rows = [row for row in ROWS[setting.vendor] if not missing(row)]
    found = Results(rows, (OPEN, ITS_VARIABLES, NEVER, WITHDRAWN_STARTED, AWAY))
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, setting, lifetime_s=3600)

        def fill(column: str, start: Callable[..., list[str]] | None = None) -> None:
            started(machine, found, column, rows, start)

        def bare(_: str, *command: str) -> list[str]:
            return machine.bare(*command)

        if request.param in SHOWN:
            fill(OPEN, bare)
        if request.param == "endpoint":
            held = [row for row in rows if row in HELD_BY_VARIABLE]
            started(machine, found, ITS_VARIABLES, held, lambda row, *words: machine.bare(*words, more=_only(row)))
        # With interception nobody is supplied, and nobody slides.
        fill(NEVER, bare if setting.intercept else None)
        if setting.vendor == "google":  # of AWS, the columns of renewals show it
            machine.grant()
            machine.withdraw()
            fill(WITHDRAWN_STARTED, bare if setting.intercept else None)
        machine.stop_agent()
        fill(AWAY, bare if setting.intercept else lambda _, *words: [*AT_ONCE, *machine.by_exec(*words)])
    found.keep(f"closed, {request.param}")
    return setting.intercept, found


def _only(row: str) -> dict[str, str]:
    return {name: AWS_CLOSED[name] for name in HELD_BY_VARIABLE[row]}


def test_nobody_slides_to_the_machines_own_identity_in_a_closed_slot(results: tuple[bool, Results]) -> None:
    intercepted, found = results
    wrong = {
        (row, column): (cell, found.reasons[row, column])
        for row, cells in found.cells.items()
        for column, cell in cells.items()
        if column != OPEN and cell not in CLOSED and (row, intercepted) not in KNOWN
    }
    assert wrong == {}


def test_what_obeys_no_variable_is_known(results: tuple[bool, Results]) -> None:
    """Interception is for these, and only for these: one that begins to obey leaves the list."""
    intercepted, found = results
    known = {row for row in found.cells if (row, intercepted) in KNOWN}
    assert {row for row, columns in found.slid().items() if NEVER in columns} == known


def test_everybody_would_have_it_without_us(results: tuple[bool, Results]) -> None:
    """Else the tests above would show nothing."""
    _, found = results
    would = {row: cells[OPEN] for row, cells in found.cells.items() if OPEN in cells}
    assert would == dict.fromkeys(would, SLIDES)
