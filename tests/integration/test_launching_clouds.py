"""What launchers are given: dask-cloudprovider's user data, rendered, run as cloud-init would, and read by an agent."""

import asyncio
import copy
import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs are installed
from dask_cloudprovider.generic.vmcluster import SchedulerMixin, VMCluster, VMInterface, WorkerMixin

import credagent
from credagent.cloud_helper.channel_storage.bundle_in_user_data import bundle_in
from credagent.errors import ConfigurationError, UsageError
from credagent.sender.cloudprovider_options import USER_DATA_BYTES
from credagent.worker import credagent_worker
from tests.integration.agents import Machine, machine
from tests.integration.letters import AUDIENCE, letter
from tests.simulator import Simulator

__all__ = ["machine"]

EXAMPLES = Path(__file__).parents[2] / "packaging" / "examples"


class Scheduler(SchedulerMixin, VMInterface):  # type: ignore[misc]  # Dask Cloudprovider has no types
    """A scheduler's machine that is never made."""


class Worker(WorkerMixin, VMInterface):  # type: ignore[misc]  # Dask Cloudprovider has no types
    """A worker's machine that is never made."""


class Cluster(VMCluster):  # type: ignore[misc]  # Dask Cloudprovider has no types
    """EC2Cluster and GCPCluster without their clouds: the document is made by what they have in common."""

    scheduler_class, worker_class, bootstrap = Scheduler, Worker, True

    def __init__(self, **options: Any) -> None:
        self.options: dict[str, Any] = {}
        self.scheduler_options: dict[str, Any] = {}
        self.worker_options: dict[str, Any] = {}
        super().__init__(**options)
        self.options["docker_image"] = "daskdev/dask:latest"


@pytest.fixture(autouse=True)
def own_configuration() -> Iterator[None]:
    """Give Dask its configuration back: a cluster object writes its own encryption into everybody's."""
    before = copy.deepcopy(dask.config.config)
    yield
    dask.config.config.clear()
    dask.config.config.update(before)


def options(machine: Machine, **more: Any) -> dict[str, Any]:
    return credagent.cloudprovider_options(trusted_senders=machine.sender.public_key.line, audience=AUDIENCE, **more)


def user_data(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return dask-cloudprovider's document for a worker, as text and as cloud-init reads it."""

    async def rendered() -> str:  # a cluster object wants a loop, even one that never starts
        return str(Cluster.get_cloud_init(**given))

    text = asyncio.run(rendered())
    return text, yaml.safe_load(text)


def played(machine: Machine, commands: list[str]) -> None:
    """Run a machine's first commands as cloud-init does, with this test's folder as its root and no service manager."""
    for command in commands:
        if command.startswith(("mkdir -p /etc/credagent", "umask")):
            local = command.replace("/etc/credagent", str(machine.folder / "etc"))
            subprocess.run(["/bin/sh", "-c", local], check=True)


def test_the_machine_that_dask_cloudprovider_makes_opens_the_bundle_it_was_given(machine: Machine) -> None:
    sealed = machine.sealed(letter(variables={"NUMBER": "1"}))
    given = options(
        machine, bundle=sealed, recipient_keys=[f"file:{machine.key}"], install=["apt-get install -y ./c.deb"]
    )
    text, document = user_data(given)
    assert len(text) < USER_DATA_BYTES
    played(machine, document["runcmd"])
    config = machine.folder / "etc" / "config.toml"
    config.write_text(config.read_text().replace("/etc/credagent", str(machine.folder / "etc")))
    machine.config = config
    folders = {"CREDAGENT_AGENT_RUNTIME_DIR": str(machine.run_dir), "CREDAGENT_AGENT_STATE_DIR": str(machine.state_dir)}
    done = machine.once(**folders, CREDAGENT_GOOGLE_HANDOVER="off")
    assert done.returncode == 0, done.stderr
    assert "NUMBER=1" in machine.worker_env.read_text()


def test_the_container_gets_the_socket_and_the_workers_module(machine: Machine) -> None:
    _, document = user_data(options(machine, env_vars={"MY_OWN": "value with blanks"}, docker_args="--shm-size=1g"))
    run = next(command for command in document["runcmd"] if command.startswith("docker run"))
    words = shlex.split(run)
    variables = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "-e")
    volumes = [words[at + 1] for at, word in enumerate(words) if word == "--volume"]
    assert variables["MY_OWN"] == "value with blanks"
    assert variables["DASK_DISTRIBUTED__WORKER__PRELOAD"] == "credagent_worker"
    assert variables["CREDAGENT_SOCKET"] == "/run/credagent/agent.sock"
    assert [volume.split(":")[1] for volume in volumes] == ["/run/credagent", variables["PYTHONPATH"]]
    assert all(volume.endswith(":ro") for volume in volumes)  # tasks are root there, and the folder is the machine's
    assert "--shm-size=1g" in words


def test_the_agent_is_there_before_the_container_starts(machine: Machine) -> None:
    _, document = user_data(options(machine))
    commands = [command.partition(" ")[0] for command in document["runcmd"]]
    assert max(at for at, command in enumerate(commands) if command == "systemctl") < commands.index("docker")


def test_dask_reads_the_preload_as_a_list_of_one(machine: Machine) -> None:
    given = options(machine)["env_vars"]
    assert dask.config.collect_env(given)["distributed"]["worker"]["preload"] == "credagent_worker"


def test_nothing_secret_is_in_user_data(machine: Machine, canary: str) -> None:
    text, _ = user_data(options(machine, bundle=machine.sealed(letter())))
    assert canary not in text
    with pytest.raises(ConfigurationError):
        credagent.cloudprovider_options(trusted_senders=machine.sender.to_text().reveal(), audience=AUDIENCE)


def test_what_does_not_fit_or_survive_is_refused_before_a_machine_costs_money(machine: Machine) -> None:
    large = machine.sealed(letter(variables={"PAD": "x" * 6000}))
    for more, code in (
        ({"bundle": large}, "too-large"),
        ({"env_vars": {"A": 'say "hello"'}}, "variable-unfit"),
        ({"env_vars": {"AWS_SECRET_ACCESS_KEY": "in-clear"}}, "variable-secret"),
        ({"env_vars": {"CREDAGENT_SOCKET": "/elsewhere"}}, "variable-taken"),
        ({"bundle": "/not/there"}, "file-missing"),
    ):
        with pytest.raises(UsageError) as raised:
            options(machine, **more)
        assert raised.value.code == code


def test_a_bundle_may_come_from_a_file(machine: Machine) -> None:
    path = machine.folder / "sealed"
    path.write_text(machine.sealed(letter()) + "\n")
    assert path.read_text().strip() in json.dumps(options(machine, bundle=path)["extra_bootstrap"])


@pytest.mark.parametrize("name", ["cloud-init-ec2.yaml", "cloud-init-google.yaml"])
def test_the_cloud_init_examples_are_what_cloud_init_reads(name: str, machine: Machine) -> None:
    """Fill in an example as its head says, and have an agent start from what it writes."""
    text = (EXAMPLES / name).read_text()
    sealed = machine.sealed(letter())
    filled = text.replace("credagent-sender:ed25519:YOURS", machine.sender.public_key.line)
    filled = filled.replace("credagent-bundle:YOURS", sealed)
    if "ec2" in name:
        assert bundle_in(filled.encode()) == sealed.encode()
    assert len(filled) < USER_DATA_BYTES
    document = yaml.safe_load(filled)
    written = {file["path"]: file["content"] for file in document["write_files"]}
    config = machine.folder / "example.toml"
    config.write_text(written["/etc/credagent/config.toml"])
    folders = {"CREDAGENT_AGENT_RUNTIME_DIR": str(machine.run_dir), "CREDAGENT_AGENT_STATE_DIR": str(machine.state_dir)}
    done = machine.run("check-config", "--config", str(config), **folders)
    assert done.returncode == 0, done.stderr


def test_the_remote_command_of_ssh_cluster_finds_the_workers_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSHCluster puts it in front of `-m distributed.cli.dask_worker …` and hands the line to a shell."""
    example = example_of("ssh_cluster")
    monkeypatch.setattr(example, "WORKER_PATH", str(Path(credagent_worker.__file__).parent))
    program = "import credagent_worker, dask.config as c; print(c.get('distributed.worker.preload'))"
    line = f"{example.remote_python(sys.executable)} -c {shlex.quote(program)}"
    bare = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(["/bin/sh", "-c", line], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "credagent_worker"


def test_the_example_for_dask_cloudprovider_trusts_whoever_launches_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = example_of("dask_cloudprovider_ec2")
    with Simulator() as simulator:
        simulator.create_role("data-science")
        session = simulator.issue_session("data-science", "ana")
        for name, value in simulator.environ(aws_machine=False, google_machine=False).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["secret_access_key"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", session["session_token"])
        given = example.options()
        assert set(given) == {"env_vars", "docker_args", "extra_bootstrap"}
        assert "arn:aws:sts::123456789012:assumed-role/data-science/*" in json.dumps(given["extra_bootstrap"])
        assert "trusted_senders" not in json.dumps(given)
        simulator.fault("sts", "GetCallerIdentity", status=503)
        with pytest.raises(UsageError) as raised:
            example.options()
        assert raised.value.code == "no-senders"


def example_of(name: str) -> Any:
    """Load an example as Python does when somebody runs it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
