"""What each client library sees of renewed credentials; a cell that changes, for better or worse, is noticed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.stage import ROOT, Stage
from tests.matrix.columns import COLUMNS, SHORT_S, Columns, table
from tests.matrix.expected import EXPECTED
from tests.matrix.machine import Machine

RUN_S = 1200
REPORTS = ROOT / "build" / "matrix"

pytestmark = [pytest.mark.timeout(RUN_S), pytest.mark.filterwarnings("ignore")]

HANDOVERS = tuple(EXPECTED)


@pytest.fixture(scope="module", params=HANDOVERS)
def measured(request: pytest.FixtureRequest, tables: dict[str, str]) -> Iterator[tuple[str, Columns]]:
    """Measure all rows and columns of one handover."""
    with tempfile.TemporaryDirectory(prefix="ca-") as folder, Stage(Path(folder)) as stage:
        machine = Machine(stage, request.param, lifetime_s=SHORT_S)
        client, workers = machine.start_cluster(EXPECTED[request.param])
        with client:
            columns = Columns(machine, client, workers)
            columns.measure()
        tables[f"handover {request.param}"] = table(columns.cells)
        _keep(request.param, columns)
        yield request.param, columns


def _keep(handover: str, columns: Columns) -> None:
    """Write the table and the reasons behind its cells where `make clean` finds them."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    reasons = [f"- {row}, {column}: {why}" for (row, column), why in columns.reasons.items() if why]
    slid = [f"- {row} used {', '.join(sorted(own))}" for row, own in columns.slid.items()]
    (REPORTS / f"{handover}.md").write_text("\n".join([table(columns.cells), "", *reasons, *slid, ""]))


def test_every_cell_is_as_documented(measured: tuple[str, Columns]) -> None:
    handover, columns = measured
    wrong = {
        (row, column): (columns.cells[row].get(column), expected, columns.reasons.get((row, column)))
        for row, cells in EXPECTED[handover].items()
        for column, expected in zip(COLUMNS, cells, strict=True)
        if columns.cells[row].get(column) not in expected.split(" or ")
    }
    assert wrong == {}


def test_nobody_slides_to_the_machines_own_identity(measured: tuple[str, Columns]) -> None:
    _, columns = measured
    assert columns.slid == {}
