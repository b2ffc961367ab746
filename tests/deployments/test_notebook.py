"""A person in a notebook: the table, an error with its remedy, and no other line."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from distributed import Security
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
CONNECT_TLS = """\
import credagent
from dask.distributed import Client, Security
security = Security(
    tls_ca_file={1!r}, tls_client_cert={2!r}, tls_client_key={3!r}, require_encryption=True
)
client = Client({0!r}, security=security)"""
FORWARD_BY_TLS = "forwarding = credagent.forward_credentials(client, aws=None, environ={'TOKEN': 'x'})"
READ = "client.submit(lambda: __import__('os').environ['TOKEN'], pure=False).result()"
LOGGED_OUT = "credagent.forward_credentials(client, aws='profile:work')"
PROFILE = """\
[profile work]
sso_start_url = https://x
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = reader
"""
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


def on_a_tls_cluster(stage: Stage, folder: Path, line: str) -> str:
    """Start a cluster of one machine that demands certificates; return the cell that connects to it."""
    made = Security.temporary()
    files = {}
    for name, pem in (("ca-file", made.tls_ca_file), ("cert", made.tls_client_cert), ("key", made.tls_client_key)):
        files[name] = folder / f"{name}.pem"
        files[name].touch(mode=0o600)
        files[name].write_text(pem)
    options = [word for name, file in files.items() for word in (f"--tls-{name}", str(file))]
    machine = stage.machine("a", line)
    stage.start_scheduler(machine, *options)
    stage.start_worker(machine, "a", "--no-nanny", *options)
    return CONNECT_TLS.format(stage.scheduler, *map(str, files.values()))


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


def test_over_tls_and_with_an_expired_login_a_notebook_shows_no_other_line_either(
    stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder / "config"
    (config / "credagent").mkdir(parents=True, mode=0o700)
    key: SenderPrivateKey = write_key(config / "credagent" / "sender.key")
    (folder / "aws").write_text(PROFILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "aws"))
    connect = on_a_tls_cluster(stage, folder, key.public_key.line)
    connected, forward, read, show, logged_out, again, _ = executed(
        connect, FORWARD_BY_TLS, READ, SHOW, LOGGED_OUT, FORWARD_BY_TLS, STOP
    )
    assert [connected, forward] == [[], []]
    assert read[0]["data"]["text/plain"] == "'x'"
    assert "<td>admitted</td>" in show[0]["data"]["text/html"]
    (error,) = logged_out
    told = plain(error["traceback"])
    assert "hint: " in told
    assert "aws sso login" in told
    assert told.count("\n") < 40, told
    (sentence,) = again  # a cell that is run again says one sentence
    assert sentence["text"] == "credagent: takes the place of what this process forwarded before\n"
