"""What each client sees of renewed and withdrawn credentials; a cell that changes, for better or worse, is noticed."""

import tempfile
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.matrix.closed import BARE, CLOSED, READS, WITHDRAWN_BARE, WITHDRAWN_RUNNING, WITHDRAWN_STARTED
from tests.matrix.columns import COLUMNS, SHORT_S, Columns
from tests.matrix.conftest import each
from tests.matrix.expected import EXPECTED, HELD_BY_INTERCEPTION_ALONE
from tests.matrix.machine import Machine, Setting, may_intercept
from tests.matrix.programs import missing
from tests.matrix.results import Results

RUN_S = 1200

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


BRIEF = ("environment, intercepted",)
SETTINGS = {
    "endpoint": Setting("endpoint"),
    "environment": Setting("environment"),
    "endpoint, intercepted": Setting("endpoint", intercept=True),
    "environment, intercepted": Setting("environment", intercept=True),
}


@pytest.fixture(scope="module", params=each(SETTINGS))
def measured(request: pytest.FixtureRequest) -> tuple[str, Results]:
    """Measure all rows and columns of one handover."""
    setting = SETTINGS[request.param]
    if setting.intercept and not may_intercept():
        pytest.skip("interception needs root, setpriv and Debian's package nftables")
    rows = [row for row in EXPECTED[request.param] if not missing(row)]
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, setting, lifetime_s=SHORT_S)
        client, workers = machine.start_cluster(rows)
        with client:
            columns = Columns(machine, client, workers)
            columns.measure(renewals=request.param not in BRIEF)
        columns.results.keep(f"handover {request.param}")
    return request.param, columns.results


def test_every_cell_is_as_documented(measured: tuple[str, Results]) -> None:
    handover, results = measured
    wrong = {
        (row, column): (results.cells[row].get(column), expected, results.reasons.get((row, column)))
        for row in results.cells
        for column, expected in zip(COLUMNS, EXPECTED[handover][row], strict=True)
        if column in results.cells[row] or handover not in BRIEF
        if results.cells[row].get(column) not in expected.split(" or ")
    }
    assert wrong == {}


def test_nobody_slides_to_the_machines_own_identity(measured: tuple[str, Results]) -> None:
    handover, results = measured
    held_by_variables = HELD_BY_INTERCEPTION_ALONE if not SETTINGS[handover].intercept else frozenset()
    assert {row: columns for row, columns in results.slid().items() if row not in held_by_variables} == {}


def test_with_interception_a_program_that_nobody_supplies_reads_what_was_forwarded(
    measured: tuple[str, Results],
) -> None:
    handover, results = measured
    if not SETTINGS[handover].intercept:
        pytest.skip("no interception")
    assert {row: cells[BARE] for row, cells in results.cells.items()} == dict.fromkeys(results.cells, READS)


def test_what_starts_after_a_withdrawal_reads_nothing(measured: tuple[str, Results]) -> None:
    handover, results = measured
    allowed = {WITHDRAWN_STARTED: CLOSED, WITHDRAWN_BARE: CLOSED, WITHDRAWN_RUNNING: (*CLOSED, READS)}
    wrong = {
        (row, column): (cells[column], results.reasons[row, column])
        for row, cells in results.cells.items()
        for column, right in allowed.items()
        if column in cells and cells[column] not in right
        if SETTINGS[handover].intercept or row not in HELD_BY_INTERCEPTION_ALONE
    }
    assert wrong == {}


@pytest.mark.parametrize("row", sorted({row for rows in EXPECTED.values() for row in rows}))
def test_the_clients_program_is_installed(row: str) -> None:
    """A row that is not measured is skipped here, with the reason."""
    if missing(row):
        pytest.skip(missing(row))
