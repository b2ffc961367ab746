"""What doctor sees of a machine: each probe on something real, and the kernel's and systemd's texts."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from credagent.cli.node_probes import machine, paths, processes, system
from credagent.cli.node_probes.agent_answers import ask_agent
from credagent.cli.node_probes.deadlines import within
from credagent.config import Address
from credagent.handover.unix.caller_access import AccessRules
from credagent.operations.doctor.facts import UnitFacts
from tests.patience import scaled
from tests.standin import Running, StandIn

SHOWN = """Id=credagent.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
MainPID=700
Result=success

Id=credagent.socket
LoadState=masked
ActiveState=inactive
UnitFileState=masked

Id=credagent-intercept.service
LoadState=not-found
"""


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (["/opt/bin/python", "/opt/bin/dask", "worker", "tls://s:8786"], "worker"),
        (["python3", "-m", "dask", "worker", "x"], "worker"),
        (["python", "-m", "distributed.cli.dask_worker", "x"], "worker"),
        (["/opt/bin/python", "/opt/bin/dask-worker", "x"], "worker"),
        (["python", "/opt/bin/dask", "cuda", "worker"], "worker"),
        (["python", "-m", "dask", "scheduler"], "scheduler"),
        (["/opt/bin/python", "/opt/bin/dask-scheduler"], "scheduler"),
        (["vim", "dask-worker.service"], ""),
        (["python", "train.py", "worker"], ""),
        ([], ""),
    ],
)
def test_dasks_processes_are_known_by_their_command_lines(words: list[str], role: str) -> None:
    assert processes.dask_role(words) == role


def test_a_worker_without_a_nanny_is_the_command_itself(tmp_path: Path) -> None:
    program = tmp_path / "dask"
    program.write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    command = [sys.executable, str(program), "worker", "--no-nanny"]
    rules = AccessRules(own_uid=os.geteuid())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"AWS_PROFILE": "x"}) as child:
        assert child.stdout is not None
        child.stdout.readline()
        (found,) = [one for one in processes.dask_processes(rules) if one.pid == child.pid]
        assert [one for one in processes.dask_processes(AccessRules(own_uid=4242)) if one.uid not in (0, 4242)] == []
        child.communicate()
    assert (found.role, found.uid, bool(found.state)) == ("worker", os.geteuid(), True)
    assert 0 <= found.age_s < scaled(60)
    assert found.process is not None
    assert "AWS_PROFILE" in (found.process.at_start or ())


def test_units_are_read_as_systemd_shows_them() -> None:
    assert system.units_in(SHOWN) == {
        "credagent.service": UnitFacts(
            load="loaded", active="active", enabled="enabled", main_pid=700, result="success"
        ),
        "credagent.socket": UnitFacts(load="masked", active="inactive", enabled="masked"),
    }
    assert system.units_in("") == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_holds_a_port_is_named_unless_it_is_the_agent(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    with socket.create_server((host, 0), family=family) as held:
        address = Address(host, held.getsockname()[1])
        (holder,) = system.port_holders([address], [])
        assert (holder.address, holder.pid) == (str(address), os.getpid())
        assert holder.name.startswith("python")
        assert system.port_holders([address], [os.getpid()]) == ()
    assert system.port_holders([address], []) == ()


def test_a_second_agent_in_the_folder_of_a_login_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "4242" / "credagent"
    folder.mkdir(parents=True)
    program = f"""
import socket, sys
with socket.socket(socket.AF_UNIX) as agent:
    agent.bind({str(folder / "agent.sock")!r})
    agent.listen()
    print("up", flush=True)
    sys.stdin.read()
"""
    users = {4242: "dask"}
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (found,) = system.other_agents(users, asked="/run/x", asked_pid=1, login_folders=str(tmp_path))
        assert (found.user, found.pid) == ("dask", other.pid)
        assert system.other_agents(users, asked="/run/x", asked_pid=other.pid, login_folders=str(tmp_path)) == ()
        other.communicate()
    assert system.other_agents(users, asked="/run/x", asked_pid=1, login_folders=str(tmp_path)) == ()


def test_whether_an_agent_watches_a_folder_is_seen_in_its_descriptors() -> None:
    program = "import ctypes, sys; {}; print('up', flush=True); sys.stdin.read()"
    for opens, watches in (("ctypes.CDLL(None).inotify_init1(0)", True), ("0", False)):
        command = [sys.executable, "-c", program.format(opens)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
            assert agent.stdout is not None
            agent.stdout.readline()
            assert system.watches_files(agent.pid) is watches
            agent.communicate()
    assert system.watches_files(0) is None


def test_folders_are_measured_and_files_have_their_modes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o640)
    file.chmod(0o640)
    folder, seen = paths.folder_facts(str(tmp_path)), paths.file_facts(str(file))
    assert folder is not None
    assert seen is not None
    assert (seen.mode, seen.uid) == (0o640, os.geteuid())
    assert (bool(folder.file_system), folder.size_bytes > 0, folder.free_bytes is not None) == (True, True, True)
    assert paths.folder_facts(str(file)) is paths.file_facts(str(tmp_path / "nothing")) is None
    os.utime(file, (1, 1))
    changed = paths.changed_at(str(file))
    assert changed is not None
    assert changed > 1  # put there lately, with the time of another machine


class _Service(http.server.BaseHTTPRequestHandler):
    """A metadata service whose clock is an hour behind ours."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - 3600)

    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_clouds_time_is_read_from_a_refusal_too(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "WAIT_S", scaled(10))
    seen = machine.machine_facts({"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{service}/"}, "eu-1")
    assert (seen.metadata_address, seen.region) == (service, "eu-1")
    assert seen.skew_s is not None
    assert -3700 < seen.skew_s < -3500
    off = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service, "AWS_EC2_METADATA_DISABLED": "true"}
    assert machine.machine_facts(off, "").skew_s is None


def test_what_is_late_or_fails_is_gone_on_without() -> None:
    never = threading.Event()
    found = within(0.2, {"never": never.wait, "fails": lambda: os.stat("/nowhere"), "soon": lambda: 7})
    assert found.keys() <= {"soon"}  # not even that, where the machine is busy
    never.set()
    assert within(scaled(20), {"soon": lambda: 7}) == {"soon": 7}


def test_an_agent_of_an_earlier_release_is_asked_what_it_knows(tmp_path: Path) -> None:
    path = str(tmp_path / "agent.sock")
    with Running(path, StandIn(AWS_REGION="eu")):
        answers = ask_agent(["/nowhere/agent.sock", path])
    assert answers.pid == os.getpid()
    assert answers.silence is None
    assert ask_agent([path]).silence is not None


def test_of_hundreds_of_workers_all_are_known_though_the_first_alone_are_reported_on(tmp_path: Path) -> None:
    class Crowded(StandIn):
        async def status(self) -> Mapping[str, object]:
            rows = [{"pid": pid, "uid": 0, "role": "worker", "generation": 1} for pid in range(1, 300)]
            return {"version": 1, "state": "ready", "generation": 1, "workers": rows}

        def processes(self, pid: int | None) -> Mapping[str, object]:
            return {"processes": [{"pid": 1, "uid": 0, "role": "worker", "generation": 1, "process": {"names": []}}]}

    path = str(tmp_path / "agent.sock")
    with Running(path, Crowded()):
        answers = ask_agent([path])
    assert [one["pid"] for one in answers.processes] == list(range(1, 300))
    assert [one["pid"] for one in answers.processes if "process" in one] == [1]
