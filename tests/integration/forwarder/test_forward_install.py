"""Zero lines: a preload in the user's own Dask configuration forwards for each client, and harms no process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.errors import ConfigurationError
from credagent.forwarder import client_preload, client_preload_install
from tests.integration.forwarder.play import SECRET, client_of
from tests.integration.forwarder.stage import BIN, Stage, run, within

CLIENT = """
import sys, distributed
client = distributed.Client(sys.argv[1])
client.wait_for_workers(1, timeout=60)
print(client.submit(eval, "__import__('os').environ.get('DB_TOKEN', 'none')", pure=False).result(timeout=60))
"""
CLIENT_IN_A_TASK = """
import sys, distributed
def nested():
    from distributed import worker_client
    with worker_client() as client:
        return client.submit(int, "7").result()
client = distributed.Client(sys.argv[1])
print(client.submit(nested).result(timeout=60))
"""


@pytest.fixture
def person(stage: Stage) -> dict[str, str]:
    """A person's environment, with a home of their own."""
    home = stage.folder / "home"
    home.mkdir()
    kept = {name: value for name, value in stage.environ.items() if name != "CREDAGENT_SOCKET"}
    return {**kept, "HOME": str(home), "DB_TOKEN": SECRET}


def install(stage: Stage, person: dict[str, str], *more: str) -> "subprocess.CompletedProcess[str]":
    words: tuple[str, ...] = ("forward", "--install", "--aws", "none", "--env", "DB_TOKEN", "--trust", "first-use")
    words += ("--scheduler", stage.scheduler)
    return run((str(BIN / "credagent"), *words, "--sender-key", str(stage.folder / "sender.key"), *more), env=person)


def client(stage: Stage, person: dict[str, str], program: str = CLIENT, python: str = sys.executable) -> Any:
    return run((python, "-c", program, stage.scheduler), env=person, cwd=stage.folder)


def cluster(stage: Stage, key: SenderPrivateKey) -> None:
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a1")


def test_every_client_forwards_by_itself_until_it_is_undone(
    stage: Stage, key: SenderPrivateKey, person: dict[str, str]
) -> None:
    cluster(stage, key)
    assert client(stage, person).stdout.strip() == "none"
    done = install(stage, person)
    assert done.returncode == 0, done.stderr
    assert "forwards your identity" in done.stdout
    assert SECRET not in Path(client_preload_install.folder(person), client_preload_install.FILE_NAME).read_text()
    done = client(stage, person)
    assert done.stdout.strip() == SECRET, done.stderr
    assert done.stderr == "", "it is silent, and so is Dask"
    done = run((str(BIN / "credagent"), "forward", "--uninstall"), env=person)
    assert (done.returncode, os.listdir(client_preload_install.folder(person))) == (0, [])


LIVES_ON = """
import sys, distributed
client = distributed.Client(sys.argv[1])
client.wait_for_workers(1, timeout=60)
print("ready", flush=True)
for line in sys.stdin:
    print("left", flush=True)
"""


def test_a_script_that_comes_and_goes_takes_renewal_from_no_longer_lived_process(
    stage: Stage, key: SenderPrivateKey, person: dict[str, str]
) -> None:
    """Both are of one person: the later one stands by, and the machines keep a forwarder when it has ended."""
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a1")
    assert install(stage, person).returncode == 0
    command = (sys.executable, "-c", LIVES_ON, stage.scheduler)
    pipe = subprocess.PIPE
    with (stage.folder / "notebook.log").open("ab") as log:
        notebook = subprocess.Popen(
            command, env=person, cwd=stage.folder, stdin=pipe, stdout=pipe, stderr=log, start_new_session=True
        )
    stage.processes.append(notebook)
    assert notebook.stdout is not None
    assert notebook.stdout.readline() == b"ready\n"
    within(60, lambda: machine.env_of_slot().get("DB_TOKEN") == SECRET, "the notebook forwards")
    before = machine.ask("status")["bundle"]["bundle_id"]
    script = client(stage, person)
    assert (script.returncode, script.stdout.strip()) == (0, SECRET), script.stderr
    assert script.stderr == ""
    assert machine.ask("status")["bundle"]["bundle_id"] == before  # nothing was delivered by it
    # The notebook goes on: an agent that has lost what it had gets it again.
    machine.stop_agent()
    for file in (machine.folder / "state").iterdir():
        if file.name != "recipient.key":
            file.unlink()
    machine.start_agent()
    assert machine.env_of_slot().get("DB_TOKEN") is None
    within(60, lambda: machine.env_of_slot().get("DB_TOKEN") == SECRET, "the machine is served again")


def test_who_stands_by_forwards_when_the_other_has_ended(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a1")
    with client_of(stage, 1):
        first = forward(trust="any")
        second = forward(trust="any", environ={"DB_TOKEN": "of-the-second"}, stand_by=True)
        assert second.status().state == "standing-by"
        first.stop()
        within(40, lambda: machine.env_of_slot().get("DB_TOKEN") == "of-the-second", "the one that stood by")
        assert second.status().state == "forwarding"
        third = forward(trust="any", environ={"DB_TOKEN": "of-the-third"})
        within(40, lambda: second.status().state == "standing-by", "it stands by again")
        third.withdraw()
        within(40, lambda: second.status().state == "replaced", "what was taken back is not given again")
        assert machine.ask("status")["slots"]["environment"]["statement"] == "withdrawn"


def test_a_cluster_that_was_not_named_gets_nothing(stage: Stage, key: SenderPrivateKey, person: dict[str, str]) -> None:
    """Anybody's scheduler may announce a key; being connected to once must not send an identity there."""
    cluster(stage, key)
    named, stage.scheduler = stage.scheduler, "tcp://127.0.0.1:1"
    assert install(stage, person).returncode == 0
    stage.scheduler = named
    done = client(stage, person)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr


def test_trust_is_not_installed_for_all_clusters(tmp_path: Path) -> None:
    for trust in ("first-use", "any"):
        words: tuple[str, ...] = ("forward", "--install", "--aws", "none", "--trust", trust)
        done = run((str(BIN / "credagent"), *words), env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 64
        assert "--scheduler" in done.stderr
        assert not (tmp_path / ".config" / "dask").exists()


def test_a_client_that_cannot_forward_is_still_a_client(
    stage: Stage, key: SenderPrivateKey, person: dict[str, str]
) -> None:
    stranger = SenderPrivateKey.generate()
    cluster(stage, stranger)
    install(stage, person)
    done = client(stage, person)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr
    Path(stage.folder / "sender.key").write_text("not a key")
    done = client(stage, person)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr
    assert "nothing is forwarded" in done.stderr


def test_where_credagent_is_not_installed_the_preload_does_nothing(
    stage: Stage, key: SenderPrivateKey, person: dict[str, str]
) -> None:
    cluster(stage, key)
    install(stage, person)
    hidden = "import sys\nsys.modules['credagent'] = None\n"
    done = client(stage, person, hidden + CLIENT)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr


def test_a_client_inside_a_worker_forwards_nothing(stage: Stage, key: SenderPrivateKey, person: dict[str, str]) -> None:
    """The worker inherits the very configuration, as under SSHCluster or with a shared home."""
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    install(stage, person)
    stage.start_worker(machine, "a1", "--nthreads", "2", HOME=person["HOME"], DB_TOKEN=SECRET)
    done = client(stage, {**person, "HOME": str(stage.folder)}, CLIENT_IN_A_TASK)
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr
    assert machine.ask("set")["slots"]["environment"]["origin"] == "none"


def test_a_cluster_without_agents_is_left_alone(stage: Stage, key: SenderPrivateKey, person: dict[str, str]) -> None:
    machine = stage.machine("a", key.public_key.line, agent=False)
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a1")
    install(stage, person)
    done = client(stage, person)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr


def test_another_list_of_preloads_is_neither_lost_nor_overridden(tmp_path: Path) -> None:
    environ = {"DASK_CONFIG": str(tmp_path)}
    (tmp_path / "mine.yaml").write_text("distributed:\n  client:\n    preload: [my_module]\n")
    with pytest.raises(ConfigurationError) as raised:
        client_preload_install.install(environ, {})
    assert raised.value.code == "preload-taken"
    assert not client_preload_install.installed(environ)


def test_an_administrators_list_of_preloads_is_not_dropped_either(tmp_path: Path) -> None:
    machine = tmp_path / "etc"
    machine.mkdir()
    (machine / "site.yaml").write_text("distributed: {client: {preload: [site_module]}}\n")
    environ = {"DASK_CONFIG": str(tmp_path), "DASK_ROOT_CONFIG": str(machine)}
    with pytest.raises(ConfigurationError) as raised:
        client_preload_install.install(environ, {})
    assert str(machine) in raised.value.what


@pytest.mark.parametrize(
    "logging",
    [
        "",
        "logging: {distributed: debug}",
        "logging: {version: 1, disable_existing_loggers: false}",
        "logging-file-config: LOGGING.ini",
        "distributed: {logging-file-config: LOGGING.ini}",
    ],
)
def test_dask_starts_with_what_is_installed_however_its_logging_is_configured(logging: str, tmp_path: Path) -> None:
    """A file of logging and keys of logging are one too many for Dask, which then cannot be imported."""
    (tmp_path / "mine.yaml").write_text(logging.replace("LOGGING.ini", str(tmp_path / "logging.ini")))
    (tmp_path / "logging.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
    )
    environ = {**os.environ, "DASK_CONFIG": str(tmp_path), "DASK_ROOT_CONFIG": str(tmp_path / "none")}
    client_preload_install.install(environ, {})
    shown = "import logging, distributed; print(logging.getLogger('distributed.preloading').level)"
    done = run((sys.executable, "-c", shown), env=environ)
    assert done.returncode == 0, done.stderr
    quiet = "file" not in logging and "version" not in logging
    assert (done.stdout.strip() == "30") is quiet


def test_a_file_of_somebody_elses_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    environ = {"DASK_CONFIG": str(tmp_path)}
    (tmp_path / client_preload_install.FILE_NAME).write_text("mine: true\n")
    for act in (lambda: client_preload_install.install(environ, {}), lambda: client_preload_install.uninstall(environ)):
        with pytest.raises(ConfigurationError) as raised:
            act()
        assert raised.value.code == "not-ours"


def test_what_is_installed_is_what_dask_reads(tmp_path: Path) -> None:
    import dask.config

    environ = {"DASK_CONFIG": str(tmp_path)}
    client_preload_install.install(environ, {"trust": "any", "environ": ["A'B"]})
    document = next(iter(dask.config.collect_yaml([str(tmp_path)])))
    (text,) = document["distributed"]["client"]["preload"]
    assert "\n" not in text, "Dask logs it"
    assert dask.config.get(client_preload.OPTIONS, config=document) == {"trust": "any", "environ": ["A'B"]}
    found: dict[str, Any] = {}
    exec(text, found)  # noqa: S102  as Dask does
    assert found["dask_setup"] is client_preload.dask_setup
    assert found["dask_teardown"] is client_preload.teardown


def test_dasks_own_command_line_has_every_command() -> None:
    done = run((str(BIN / "dask"), "credentials", "--help"))
    assert done.returncode == 0
    assert "credagent COMMAND" in done.stdout
    done = run((str(BIN / "dask"), "credentials", "inspect", "--help"))
    assert "usage: credagent inspect" in done.stdout
    assert run((str(BIN / "dask"), "credentials", "nothing")).returncode == 64
