"""The agent's socket as a file: right from the first moment, and nobody else's is touched."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credagent.errors import ConfigurationError, OutputError, PermissionRefused
from credagent.handover.unix.socket_file import bind


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "agent.sock")


def test_everybody_may_connect_and_nothing_else_is_left_behind(path: str) -> None:
    bound = bind(path)
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o666
    assert os.listdir(os.path.dirname(path)) == ["agent.sock"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    bound.close()
    assert os.listdir(os.path.dirname(path)) == []


def test_the_umask_of_the_process_is_as_before(path: str) -> None:
    before = os.umask(0o027)
    bind(path).close()
    assert os.umask(before) == 0o027


def test_a_stale_socket_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    bound = bind(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    bound.close()


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{path}.{os.getpid()}")
    bind(path).close()


def test_what_killed_processes_of_other_numbers_left_is_swept_and_nothing_else(path: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = [f"{path}.1", f"{path}.old", f"{os.path.dirname(path)}/other.sock.{ended.pid}"]
    for name in (f"{path}.{ended.pid}", *kept):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(name)
    bind(path)
    assert sorted(os.listdir(os.path.dirname(path))) == sorted(os.path.basename(name) for name in (path, *kept))


def test_an_agent_that_lives_is_not_robbed_of_its_socket(path: str) -> None:
    bound = bind(path)
    with pytest.raises(ConfigurationError) as caught:
        bind(path)
    assert caught.value.code == "socket-in-use"
    bound.close()


def test_a_successors_socket_is_left_alone(path: str) -> None:
    first = bind(path)
    first.sock.close()  # it is stale from now on
    second = bind(path)
    first.close()
    assert os.path.exists(path)
    second.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_something_else_in_its_place_is_not_removed(path: str, kind: str, tmp_path: Path) -> None:
    there = Path(path)
    if kind == "file":
        there.touch()
    elif kind == "folder":
        there.mkdir()
    else:
        there.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionRefused) as caught:
        bind(path)
    assert caught.value.code == "socket-not"
    assert os.listdir(tmp_path) == ["agent.sock"]


def test_a_path_that_no_client_could_name_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bind(str(tmp_path / ("x" * 120)))
    assert caught.value.code == "socket-path"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        bind(str(tmp_path / "none" / "agent.sock"))


def test_binding_does_not_load_the_event_loop() -> None:
    modules = (
        "handover.unix.socket_file",
        "handover.unix.caller_access",
        "handover.unix.protocol",
        "worker_environment.env_file",
        "exec.dask_preload",
    )
    imports = "; ".join(f"import credagent.{module}" for module in modules)
    heavy = "{'asyncio', 'logging', 'inspect', 'subprocess', 'ssl'}"
    program = (
        f"import sys; sys.modules['typing_extensions'] = None; {imports}; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-I", "-c", program], check=False).returncode == 0
