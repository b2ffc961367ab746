"""A person in a notebook: the table, an error with its remedy, and no other line."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from credagent.bundle.key_pairs import SenderPrivateKey
from tests.integration.forwarder.play import write_key
from tests.integration.forwarder.stage import Stage, staged
from tests.ports import free_port

pytestmark = pytest.mark.timeout(240)
CONNECT = "import credagent\nfrom dask.distributed import Client\nclient = Client('{}')"
FORWARD = "forwarding = credagent.forward_credentials(client, aws=None, environ={'TOKEN': 'x'}, trust='first-use')"
SHOW = "forwarding"
STATUS = "forwarding.status()"
NO_GROUND = "credagent.forward_credentials(client, aws=None)"
NOBODY = "credagent.forward_credentials('tcp://127.0.0.1:{}', aws=None, trust='first-use')"
STOP = "forwarding.stop(); client.close()"


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CREDAGENT_TEST_")}
    with staged(folder, environ) as found:
        yield found


def executed(*cells: str) -> list[list[dict[str, Any]]]:
    """Execute a notebook of these cells with Jupyter's own kernel; return the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, allow_errors=True, kernel_name="python3").execute()
    return [list(cell.outputs) for cell in notebook.cells]


def plain(lines: list[str]) -> str:
    return "\n".join(lines)


def test_a_notebook_shows_the_table_the_error_with_its_remedy_and_no_other_line(
    stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder / "config"
    (config / "credagent").mkdir(parents=True, mode=0o700)
    key: SenderPrivateKey = write_key(config / "credagent" / "sender.key")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a", "--no-nanny")
    connect, forward, show, status, no_ground, nobody, _ = executed(
        CONNECT.format(stage.scheduler), FORWARD, SHOW, STATUS, NO_GROUND, NOBODY.format(free_port()), STOP
    )
    assert connect == []
    assert forward == [], "silent where nothing is wrong"
    for outputs in (show, status):
        (shown,) = outputs
        assert shown["output_type"] == "execute_result"
        assert "<td>admitted</td>" in shown["data"]["text/html"]
    assert show[0]["data"]["text/plain"].startswith("<Forwarding: forwarding")
    assert "admitted" in status[0]["data"]["text/plain"]
    (error,) = no_ground
    assert error["output_type"] == "error"
    assert all(ground in plain(error["traceback"]) for ground in ("recipients=", "tls://", "first-use", "any"))
    (error,) = nobody
    told = plain(error["traceback"])
    assert "hint: " in told
    assert told.count("\n") < 40, told
    assert "During handling" not in told
    assert "direct cause" not in told
