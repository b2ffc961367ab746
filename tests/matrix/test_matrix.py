"""What each client sees of renewed and withdrawn credentials; a cell that changes, for better or worse, is noticed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.matrix.closed import CLOSED, GOES_ON, WITHDRAWN_RUNNING, WITHDRAWN_STARTED
from tests.matrix.columns import COLUMNS, SHORT_S, Columns
from tests.matrix.expected import EXPECTED
from tests.matrix.machine import Machine, Setting
from tests.matrix.programs import missing
from tests.matrix.results import Results

RUN_S = 1200

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=tuple(EXPECTED))
def measured(request: pytest.FixtureRequest) -> Iterator[tuple[str, Results]]:
    """Measure all rows and columns of one handover."""
    rows = [row for row in EXPECTED[request.param] if not missing(row)]
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, Setting(request.param), lifetime_s=SHORT_S)
        client, workers = machine.start_cluster(rows)
        with client:
            columns = Columns(machine, client, workers)
            columns.measure()
        columns.results.keep(f"handover {request.param}")
        yield request.param, columns.results


def test_every_cell_is_as_documented(measured: tuple[str, Results]) -> None:
    handover, results = measured
    wrong = {
        (row, column): (results.cells[row].get(column), expected, results.reasons.get((row, column)))
        for row in results.cells
        for column, expected in zip(COLUMNS, EXPECTED[handover][row], strict=True)
        if results.cells[row].get(column) not in expected.split(" or ")
    }
    assert wrong == {}


def test_nobody_slides_to_the_machines_own_identity(measured: tuple[str, Results]) -> None:
    _, results = measured
    assert results.slid() == {}


def test_what_starts_after_a_withdrawal_reads_nothing(measured: tuple[str, Results]) -> None:
    _, results = measured
    allowed = {WITHDRAWN_STARTED: CLOSED, WITHDRAWN_RUNNING: (*CLOSED, GOES_ON)}
    wrong = {
        (row, column): (cells[column], results.reasons[row, column])
        for row, cells in results.cells.items()
        for column, right in allowed.items()
        if cells[column] not in right
    }
    assert wrong == {}


@pytest.mark.parametrize("row", sorted({row for rows in EXPECTED.values() for row in rows}))
def test_the_clients_program_is_installed(row: str) -> None:
    """A row that is not measured is skipped here, with the reason."""
    if missing(row):
        pytest.skip(missing(row))
