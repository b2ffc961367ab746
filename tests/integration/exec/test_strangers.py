"""Another user of the machine can neither answer in the agent's place nor keep `exec` from starting."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.exec.conftest import Node, as_user
from tests.other_user import SOMEBODY, as_root, run_as_somebody
from tests.patience import scaled

USER = 61_001  # no account of this machine's
pytestmark = as_root


@pytest.fixture
def taken() -> Iterator[Path]:
    folder = Path(f"/tmp/credagent-{USER}")
    folder.mkdir()
    os.chown(folder, SOMEBODY, SOMEBODY)
    yield folder
    for one in folder.parent.glob(f"credagent-{USER}*"):
        shutil.rmtree(one)


def test_a_runtime_folder_below_a_strangers_is_refused_and_his_agent_not_asked(node: Node) -> None:
    theirs = node.folder / "theirs"
    (theirs / "run").mkdir(parents=True)
    os.chown(theirs, SOMEBODY, SOMEBODY)
    os.chown(theirs / "run", SOMEBODY, SOMEBODY)
    settings = {"CREDAGENT_AGENT_RUNTIME_DIR": str(theirs / "run")}
    for command in (("exec", "--", "echo", "started"), ("run", "--once"), ("env",)):
        done = node.run(*command, **settings)
        assert (done.returncode, done.stdout) == (77, "")
        assert f"belongs to user {SOMEBODY}" in done.stderr


def test_a_stranger_who_has_taken_the_name_below_tmp_stops_nobody(node: Node, taken: Path) -> None:
    node.let_others_pass()
    home = node.folder / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    environ = {name: value for name, value in node.environ.items() if not name.startswith(("XDG_", "CREDAGENT_"))}
    done = subprocess.run(
        [*as_user(node, USER), *node.program, "exec", "--", "sh", "-c", "echo $CREDAGENT_SOCKET"],
        env={**environ, "HOME": str(home), "CREDAGENT_ENDPOINT_LISTEN": "127.0.0.1:0"},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{taken}-2/agent.sock\n"), done.stderr


ASK_A_STRANGER = """
said = []
for path in {paths}:
    try:
        said.append(AgentConnection(path))
    except AgentAbsent as error:
        said.append(str(error))
    said += [AgentSubscription.try_connect(path), StandBy.behind(path)]
with socket.socket(socket.AF_UNIX) as mine:
    mine.bind(path + "2")
    mine.listen()
    said.append(StandBy.behind(path + "2") is not None)
print(*said, sep="\\n")
"""


def test_who_listens_where_anybody_could_have_made_the_folder_is_this_user_or_not_listened_to() -> None:
    """As after a race: the folder was judged while it was free, and is a stranger's when the connection is made."""
    folders = [Path(f"/tmp/{name}") for name in (f"credagent-{SOMEBODY}-98", f"of-tests-{os.getpid()}")]
    imports = """
from credagent.exec.agent_subscription import AgentSubscription
from credagent.exec.stand_by import StandBy
from credagent.worker.credagent_worker import AgentAbsent, AgentConnection
import socket
"""
    paths = [f"{folder}/agent.sock" for folder in folders]
    with contextlib.ExitStack() as made:
        for folder, path in zip(folders, paths, strict=True):
            folder.mkdir()
            made.callback(shutil.rmtree, folder)
            os.chown(folder, SOMEBODY, SOMEBODY)
            strangers = made.enter_context(socket.socket(socket.AF_UNIX))
            strangers.bind(path)
            os.chmod(path, 0o666)  # noqa: S103  as an agent's
            os.seteuid(USER)
            try:
                strangers.listen()
            finally:
                os.seteuid(0)
        done = run_as_somebody(imports, ASK_A_STRANGER.format(paths=paths))
    expected = [line for path in paths for line in (f"{path}: user {USER} listens there", "None", "None")]
    assert done.stdout.splitlines() == [*expected, "True"], done.stderr
