"""Two machines that share one home on a file server, as mount namespaces with a machine-id each."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.exec.conftest import Node, as_user
from tests.other_user import as_root
from tests.patience import scaled

USER = 61_002  # no account of this machine's
pytestmark = as_root


def test_both_machines_of_a_home_have_an_agent_with_a_state_of_its_own(node: Node) -> None:
    node.let_others_pass()
    home, words = _owned(node.folder / "home"), as_user(node, USER)
    keep = {name: value for name, value in node.environ.items() if not name.startswith(("XDG_", "CREDAGENT_"))}
    keep |= {"HOME": str(home), "CREDAGENT_ENDPOINT_LISTEN": "127.0.0.1:0"}
    started = []
    for number in "12":
        (node.folder / f"machine-id-{number}").write_text(number * 32 + "\n")
        environ = {**keep, "XDG_RUNTIME_DIR": str(_owned(node.folder / f"run-{number}"))}
        script = f'mount --bind {node.folder}/machine-id-{number} /etc/machine-id && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *words, *node.program]
        command += ["exec", "--", "sh", "-c", "echo $CREDAGENT_SOCKET; read -r _"]
        process = subprocess.Popen(
            command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        node.adopt(process)
        started.append(process)
    for number, process in zip("12", started, strict=True):
        assert process.stdout is not None
        assert process.stdout.readline() == f"{node.folder}/run-{number}/credagent/agent.sock\n"
    keys = list((home / ".local" / "state" / "credagent").glob("*/recipient.key"))
    assert len({key.read_bytes() for key in keys}) == 2
    for process in started:
        output, log = process.communicate("\n", timeout=scaled(60))
        assert (process.returncode, output) == (0, "")
        assert "tasks_share_uid" not in log, "what only root can do is told only to root"


def _owned(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    os.chown(folder, USER, USER)
    return folder


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    if not os.path.exists("/etc/machine-id") or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace and a machine-id to put another in its place")
