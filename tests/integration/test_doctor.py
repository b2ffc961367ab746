"""`doctor` beside a real agent: silent on sound nodes, and one finding for what is planted there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from credagent.bundle.contents import GoogleAccessTokenGrant
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from credagent.cli.commands import doctor
from credagent.cli.node_probes import agent_answers, collection
from credagent.credentials import Slot, Statement
from credagent.operations.doctor.diagnosis import diagnose
from credagent.operations.doctor.findings import Finding
from credagent.secret import Secret
from credagent.worker import credagent_worker
from tests.canary import CANARY
from tests.integration.agents import Machine, machines
from tests.integration.letters import letter
from tests.other_user import SOMEBODY, as_root, run_as_somebody
from tests.patience import scaled
from tests.simulator import Simulator

MEMORY = "/dev/shm"
WORKER = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import credagent_worker
credagent_worker.LOOK_S = 0.05

class Worker:
    address = "tcp://10.0.0.2:40000"

asyncio.run(credagent_worker.dask_setup(Worker()))
print("up", flush=True)
for line in sys.stdin:
    os.environ[line.strip()] = "set by a task"
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine whose folders are in memory, as /run is."""
    if not os.access(MEMORY, os.W_OK):
        pytest.skip("needs a tmpfs that this user can write to")
    monkeypatch.setattr(tempfile, "tempdir", MEMORY)
    # On a busy machine nothing is late: what is judged here is what is found.
    monkeypatch.setattr(agent_answers, "ANSWER_S", scaled(10))
    for limit in ("AGENT_S", "ALL_S"):
        monkeypatch.setattr(collection, limit, scaled(40))
    with machines(Machine) as made:
        made.configure(workers={"users": [str(os.geteuid())], "groups": []})
        yield made


def found(machine: Machine) -> list[Finding]:
    """Return what doctor finds, without what other tests run on this computer."""
    facts = doctor.look(str(machine.config))
    return diagnose(structs.replace(facts, dask=(), containers=(), other_agents=()))


def codes(machine: Machine) -> list[str]:
    return [one.code for one in found(machine)]


def with_session(machine: Machine, **changes: str) -> None:
    machine.start(**changes)
    machine.ask("deliver", bundle=machine.sealed(letter(aws=Statement.GRANTED)))


@contextmanager
def supplied(machine: Machine, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that the worker's side supplies; a line to it is a variable that a task sets."""
    folder = os.path.dirname(credagent_worker.__file__)
    base = {"CREDAGENT_SOCKET": str(machine.socket), "HOME": str(machine.folder), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", WORKER, folder]
    with subprocess.Popen(
        command, env={**base, **environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        machine.until(lambda: [one["generation"] for one in machine.status()["workers"]] != [None])
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("handover", ["environment", "endpoint"])
def test_a_sound_node_with_a_worker_is_silent(machine: Machine, handover: str) -> None:
    machine.configure(aws={"handover": handover})
    with_session(machine)
    with supplied(machine):
        assert found(machine) == []


def test_a_sound_node_with_a_google_identity_is_silent(machine: Machine) -> None:
    machine.configure(aws={"handover": "off"}, google={"handover": "metadata"})
    machine.start()
    ends = datetime.now(UTC) + timedelta(hours=1)
    token = GoogleAccessTokenGrant(access_token=Secret(CANARY), expires_at=ends)
    slots = {Slot.AWS: Statement.DECLINED, Slot.GOOGLE: Statement.GRANTED, Slot.ENVIRONMENT: Statement.DECLINED}
    machine.ask("deliver", bundle=machine.sealed(letter(slots=slots, grants=(token,), not_after=ends)))
    with supplied(machine):
        assert found(machine) == []


def test_what_is_planted_on_a_running_node_is_found_and_gone_when_it_is_mended(machine: Machine) -> None:
    with_session(machine)
    assert codes(machine) == []

    text = machine.config.read_text()
    machine.config.write_text(text.replace("[agent]", "[agnet]"))
    (typo,) = found(machine)
    assert (typo.code, "did you mean agent?" in typo.remedy) == ("configuration-broken", True)
    machine.config.write_text(text + "not TOML\n")
    assert codes(machine) == ["configuration-broken"]
    assert machine.run("status", "--config", str(machine.config)).returncode == 0

    machine.config.write_text(text)
    os.utime(machine.config, (4e9, 4e9))
    assert codes(machine) == ["configuration-not-loaded"]
    os.utime(machine.config)
    machine.reload()

    machine.worker_env.chmod(0o644)
    assert codes(machine) == ["file-mode"]
    machine.worker_env.chmod(0o600)

    stranger, another = SenderPrivateKey.generate(), RecipientPrivateKey.generate()
    for bundle, code in (
        (machine.sealed(letter(later_s=1), sender=stranger), "untrusted-sender"),
        (machine.sealed(letter(audience="elsewhere", later_s=1)), "wrong-audience"),
        (seal(letter(later_s=1), [another.public_key], machine.sender), "not-for-this-machine"),
    ):
        assert machine.ask("deliver", bundle=bundle)["code"] == code
        (refused,) = found(machine)
        assert refused.code == code
        assert "tasks run as arn:aws:sts::123456789012:assumed-role/reader/ana" in refused.found


def test_a_file_that_is_refused_is_one_finding_though_every_slot_is_empty_for_it(machine: Machine) -> None:
    machine.start()
    machine.put(machine.sealed(letter(aws=Statement.GRANTED), sender=SenderPrivateKey.generate()))
    machine.until(machine.refusals)
    (refused,) = found(machine)
    assert refused.code == "untrusted-sender"
    assert refused.found == "the sender's bundle was refused (untrusted-sender): tasks have no cloud identity"
    assert refused.remedy.startswith("at the sender: `credagent public-key")


def test_an_agent_that_hangs_or_is_stopped_is_said_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_answers, "ANSWER_S", 0.2)
    process = machine.start()
    process.send_signal(signal.SIGSTOP)
    try:
        (stopped,) = found(machine)
    finally:
        process.send_signal(signal.SIGCONT)
    assert (stopped.code, stopped.remedy) == ("agent-stopped", f"`kill -CONT {process.pid}`")
    machine.stop()
    machine.run_dir.mkdir(mode=0o751, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(machine.socket))
        mute.listen()
        (hangs,) = found(machine)
    assert hangs.code == "agent-hangs"
    assert f"kill -KILL {os.getpid()}" in hangs.remedy


def test_no_agent_and_whoever_holds_its_port_are_told_apart(machine: Machine) -> None:
    assert codes(machine) == ["no-agent"]
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        machine.configure(aws={"handover": "endpoint"}, endpoint={"listen": [address]})
        (taken,) = found(machine)
    assert taken.code == "port-taken"
    assert (address in taken.found, f"pid {os.getpid()}" in taken.found) == (True, True)


def test_what_a_task_sets_and_what_a_worker_runs_are_seen_from_outside(machine: Machine) -> None:
    with_session(machine)
    with supplied(machine) as process:
        assert process.stdin is not None
        process.stdin.write("AWS_SECURITY_TOKEN\n")
        process.stdin.flush()
        (shadow,) = machine.until(lambda: found(machine))
        assert shadow.code == "variable-shadows"
        assert f"in worker {process.pid}: AWS_SECURITY_TOKEN is set by something that ran in it" in shadow.found
        process.send_signal(signal.SIGSTOP)
        machine.until(lambda: "worker-stopped" in codes(machine))
        process.send_signal(signal.SIGCONT)


def test_files_in_the_home_of_a_workers_user_are_seen(machine: Machine) -> None:
    with_session(machine)
    aws = machine.folder / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(f"[default]\naws_access_key_id = {CANARY}\n")
    with supplied(machine):
        (shadow,) = found(machine)
    assert (shadow.code, str(aws / "credentials") in shadow.found, CANARY in str(shadow)) == (
        "file-shadows",
        True,
        False,
    )


def test_a_session_that_has_ended_is_no_tick_and_no_exit_status_0(machine: Machine) -> None:
    machine.start()
    bundle = letter(aws=Statement.GRANTED, seconds=-1)
    machine.ask("deliver", bundle=machine.sealed(bundle))
    (ended,) = found(machine)
    assert (ended.code, bundle.bundle_id in ended.found) == ("expired", True)
    done = machine.run("doctor", "--json", "--config", str(machine.config))
    document = json.loads(done.stdout)
    assert (done.returncode, document["version"], document["healthy"]) == (1, 1, False)
    assert "expired" in [one["code"] for one in document["findings"]]
    assert {"configuration", "agent", "bundle", "aws"} <= {one["check"] for one in document["notes"]}
    assert "✓" not in machine.run("doctor", "--config", str(machine.config)).stdout


def test_what_is_wrong_with_the_instance_is_named_with_the_command_that_mends_it(machine: Machine) -> None:
    with Simulator() as cloud:
        aws = {name: value for name, value in cloud.environ().items() if name.startswith("AWS_")}
        machine.environ |= aws
        os.environ |= aws  # who asks sees where the agent is pointed only as root
        cloud.instance(mode="disabled")
        machine.start()
        for mode, option in (("disabled", "--http-endpoint enabled"), ("hop-limit", "--http-put-response-hop-limit 2")):
            cloud.instance(mode=mode)
            machine.ask("renew", slot="aws")
            (fault,) = found(machine)
            assert fault.code.endswith(mode)
            assert "`aws ec2 modify-instance-metadata-options" in fault.remedy
            assert option in fault.remedy
        cloud.instance(mode="ok")
        machine.ask("renew", slot="aws")
        assert found(machine) == []
        cloud.skew(-3600)
        (clock,) = found(machine)
        assert clock.code == "clock-ahead"
        assert re.fullmatch(r"this clock is 3[56]\d\d s ahead of the cloud's", clock.found)


def test_a_runtime_folder_that_others_can_put_in_place_is_a_finding_and_nobody_is_asked_there(machine: Machine) -> None:
    machine.start()
    machine.folder.chmod(0o777)
    (folder,) = found(machine)
    assert (folder.code, folder.subject) == ("folder-mode", str(machine.run_dir))
    assert "nobody was asked" in folder.found
    done = machine.run("doctor", "--json", "--config", str(machine.config))
    assert (done.returncode, "folder-mode" in done.stdout) == (1, True), done.stderr


@as_root
def test_who_was_refused_is_named_with_how_often(machine: Machine) -> None:
    machine.start()
    machine.folder.chmod(0o755)
    ask = f"""
for _ in range(3):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect({str(machine.socket)!r})
        assert b"not-allowed" in asked.recv(4096)
"""
    done = run_as_somebody("import socket", ask)
    assert done.returncode == 0, done.stderr
    (refused,) = found(machine)
    assert (refused.code, f"user {SOMEBODY} was refused 3 times" in refused.found) == ("caller-refused", True)
