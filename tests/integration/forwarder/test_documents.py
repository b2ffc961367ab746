"""What README, FORWARDING, HANDOVER and CHANNELS show is typed and run as it stands there, in its order.

Only names of the reader's own are replaced: the scheduler's address, files of certificates, folders.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from distributed.security import Security

from tests import pages
from tests.demo.stage import clean_environment
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud
from tests.integration.forwarder.play import SECRET, write_key
from tests.integration.forwarder.stage import BIN, Machine, Stage, run, within
from tests.patience import scaled

__all__ = ["cloud"]

README = "README.md"
FORWARDING = "agent/credagent/forwarder/FORWARDING.md"
HANDOVER = "agent/credagent/handover/HANDOVER.md"
CHANNELS = "agent/credagent/channels/CHANNELS.md"
ADDRESS = "scheduler:8786"
ADA = "arn:aws:iam::123456789012:user/ada"


class Reader:
    """Somebody who types what a page shows, in a folder and with a home of his own."""

    def __init__(self, folder: Path, environ: Mapping[str, str], instead: Mapping[str, str]) -> None:
        self.folder = folder
        self.instead = dict(instead)
        self.environ = {**environ, "HOME": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def here(self, text: str) -> str:
        for shown, own in self.instead.items():
            text = text.replace(shown, own)
        return text

    def runs(self, script: pages.Block) -> "subprocess.CompletedProcess[str]":
        file = self.folder / "script.py"
        file.write_text(self.here(script.text))
        return run([sys.executable, str(file)], env=self.environ, cwd=self.folder)

    def types(self, line: str) -> str:
        done = run(["bash", "-c", self.here(line)], env=self.environ, cwd=self.folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def starts(self, line: str, stage: Stage, machine: Machine) -> "subprocess.Popen[bytes]":
        """Type a line that goes on, on a machine."""
        environ = machine.environ | {"PATH": self.environ["PATH"]}
        with (machine.folder / "typed.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", self.here(line)],
                env=environ,
                stdout=log,
                stderr=log,
                cwd=machine.folder,
                start_new_session=True,
            )
        stage.processes.append(process)
        return process


def python(page: str) -> list[pages.Block]:
    return [block for block in pages.run_by(__file__, page) if block.kind == "python"]


def lines(page: str) -> list[str]:
    return [line for block in pages.run_by(__file__, page) for line in block.typed]


@pytest.fixture
def laptop(stage: Stage, cloud: Cloud) -> dict[str, str]:
    """Return the environment of a laptop with an identity; the cloud holds its private data, and machines know it."""
    user = cloud.simulator.create_user("ada")
    cloud.simulator.create_bucket("my-bucket")
    cloud.simulator.put_object("my-bucket", "private.csv", "x,y\n1,2\n")
    addresses = {name: value for name, value in cloud.environ.items() if name.startswith("AWS_")}
    stage.environ |= addresses
    keys = {f"AWS_{name.upper()}": user[name] for name in ("access_key_id", "secret_access_key")}
    return {**clean_environment(), **WITHOUT_MACHINE, **addresses, **keys}


def test_on_tcp_the_readmes_scripts_run_as_they_stand(stage: Stage, laptop: dict[str, str]) -> None:
    """Two workers, each started as a page says; a person whom the machine does not know yet does what he is told."""
    tcp, _tls, named = python(README)
    machine = stage.machine("a")
    reader = Reader(stage.folder, laptop, {f"tcp://{ADDRESS}": stage.start_scheduler(machine)})
    for line in (*lines(README), *lines(HANDOVER)):
        reader.starts(line, stage, machine)
    first = reader.runs(tcp)
    assert "1 agent does not trust you" in first.stderr
    told = re.search(r'trusted_senders = \["(.*)"\]', first.stderr)
    assert told is not None
    assert told[1] == (stage.folder / ".config" / "credagent" / "sender.pub").read_text().strip()
    machine.stop_agent()
    machine.trusted = (told[1],)
    machine.start_agent()
    second = reader.runs(tcp)
    assert second.returncode == 0, second.stderr
    read, heading, _headings, *rows = second.stdout.splitlines()
    assert read == "x,y"
    assert ADA in heading
    assert [row.split()[1] for row in rows] == ["admitted"]
    (stage.folder / "node.pub").write_text(machine.public_key + "\n")
    reader.environ["DB_TOKEN"] = SECRET
    third = reader.runs(named)
    assert (third.returncode, third.stdout) == (0, "True\n"), third.stderr


def test_on_tls_the_readmes_script_and_the_command_run_as_they_stand(stage: Stage, laptop: dict[str, str]) -> None:
    (_tcp, tls, _named), (forward,) = python(README), lines(FORWARDING)
    made = Security.temporary()
    shown = {"ca.pem": made.tls_ca_file, "me.pem": made.tls_client_cert, "me.key": made.tls_client_key}
    shown["me-key.pem"] = made.tls_client_key
    for name, pem in shown.items():
        (stage.folder / name).touch(mode=0o600)
        (stage.folder / name).write_text(pem)
    files = [str(stage.folder / name) for name in ("ca.pem", "me.pem", "me.key")]
    options = ("--tls-ca-file", files[0], "--tls-cert", files[1], "--tls-key", files[2])
    (stage.folder / ".config" / "credagent").mkdir(parents=True, mode=0o700)
    key = write_key(stage.folder / ".config" / "credagent" / "sender.key")
    machine = stage.machine("a", key.public_key.line)
    here = stage.start_scheduler(machine, *options)
    stage.start_worker(machine, "a", "--no-nanny", *options)
    reader = Reader(stage.folder, laptop, {f"tls://{ADDRESS}": here, "tls://10.0.0.1:8786": here})
    done = reader.runs(tls)
    assert (done.returncode, done.stdout) == (0, f"{ADA}\n"), done.stderr
    log = stage.folder / "forward.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {reader.here(forward)}"], cwd=stage.folder, env=reader.environ, stdout=out, stderr=out
        )
    stage.processes.append(process)
    within(30, lambda: "forwarded to 1 machine" in log.read_text(), "forwarding", process)
    within(30, lambda: _handles(process.pid, signal.SIGTERM), "the end by a signal", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(scaled(30)) == 0, log.read_text()


def _handles(pid: int, number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal: SigCgt of proc_pid_status(5)."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def test_by_hand_a_bundle_is_sealed_delivered_and_taken_back(stage: Stage, laptop: dict[str, str]) -> None:
    (stage.folder / ".config" / "credagent").mkdir(parents=True, mode=0o700)
    key = write_key(stage.folder / ".config" / "credagent" / "sender.key")
    inbox = f"file:{stage.folder}/a/run/inbox/bundle"
    machine = stage.machine("a", key.public_key.line, agent=False, audience="my-cluster")
    machine.start_agent(channels=(inbox,))
    (stage.folder / "node.pub").write_text(machine.public_key + "\n")
    reader = Reader(stage.folder, laptop, {"file:/run/credagent/inbox/bundle": inbox})
    reader.environ["CREDAGENT_SOCKET"] = machine.socket
    seal, inspect, deliver, status, env, withdraw, again = lines(CHANNELS)
    reader.types(seal)
    assert "my-cluster" in reader.types(inspect)
    reader.types(deliver)
    within(20, lambda: machine.ask("status")["slots"]["aws"]["origin"] == "bundle", "the bundle's session")
    assert ADA.rpartition("/")[2] in reader.types(status)
    assert "AWS_ACCESS_KEY_ID" in reader.types(env)
    reader.types(withdraw)
    reader.types(again)
    within(20, lambda: machine.ask("status")["slots"]["aws"]["statement"] == "withdrawn", "the withdrawal")
