"""`credagent exec` as entrypoint: PID 1, non-root, read-only, stopped, killed, supplied by environment and by file."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.canary import CANARY
from tests.patience import scaled
from tests.system import containers, images
from tests.system.acts import deliver, variable
from tests.system.cloud import AUDIENCE, Sender
from tests.system.conftest import Make, configure
from tests.system.containers import AGENT, STOCK, podman, run

OFFLINE = ("--rm", "--pull=never", "--network=none", "--env=AWS_EC2_METADATA_DISABLED=true", "--env=NO_GCE_CHECK=true")
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
ECHO = ("sh", "-c", 'echo "$DB_TOKEN"')
# The agents below PID 1; the image has no ps.
_AGENTS = """
cd /proc && for one in [0-9]*; do
    case $(cat $one/stat 2>/dev/null) in *"(credagent) "?" 1 "*) echo $one;; esac
done
"""


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    containers.build(images.deb())


@pytest.fixture
def trusting(sender: Sender, tmp_path: Path) -> list[str]:
    """Return the options that give a container its key and whom to trust."""
    key = tmp_path / "recipient.key"
    key.write_bytes(sender.recipient()[1].read_bytes())
    os.chown(key, 9817, 9817)
    key.chmod(0o600)
    return [
        f"--volume={key}:/run/secrets/recipient.key:ro",
        "--env=CREDAGENT_BUNDLE_RECIPIENT_KEYS=file:/run/secrets/recipient.key",
        f"--env=CREDAGENT_AGENT_AUDIENCE={AUDIENCE}",
        f"--env=CREDAGENT_BUNDLE_TRUSTED_SENDERS={sender.public_key}",
    ]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"ca-{os.getpid()}-{time.monotonic_ns()}"
    yield name
    run("rm", "--force", "--time=0", name)


def test_it_is_pid_1_and_not_root_on_a_read_only_root_without_capabilities() -> None:
    said = podman("run", *OFFLINE, *HARDENED, AGENT, "--", "sh", "-c", "id -u; cat /proc/1/comm; touch /x || echo no")
    assert said.split() == ["9817", "credagent", "no"]


def test_the_image_holds_what_is_needed_and_nothing_that_could_become_root() -> None:
    image = json.loads(podman("image", "inspect", AGENT))[0]
    assert image["Size"] < 150_000_000
    assert image["Config"]["User"] == "9817:9817"
    assert image["Config"]["Entrypoint"] == ["credagent", "exec"]
    unwanted = "for one in apt-get pip gcc perl5 ssh curl wget nc; do command -v $one; done"
    left = "find /usr/share/man /var/cache /var/log /var/lib/apt -type f; find / -xdev -name '*.deb'"
    rights = "find / -xdev -type f '(' -perm /6000 -o -perm -0002 ')'"
    words = ("--user=0", "--entrypoint=/bin/sh", AGENT, "-c", f"{unwanted}; {left}; {rights}")
    said = run("run", *OFFLINE, *words).stdout
    assert said.split() == []


def test_a_bundle_in_the_environment_reaches_the_program(sender: Sender, trusting: list[str]) -> None:
    sealed = f"--env=CREDAGENT_SEALED={sender.seal(sender.recipient()[0]).strip()}"
    said = podman(
        "run", *OFFLINE, *HARDENED, *trusting, sealed, "--env=CREDAGENT_BUNDLE_CHANNELS=env", AGENT, "--", *ECHO
    )
    assert said == f"{CANARY}\n"


def test_a_bundle_in_a_file_reaches_the_program(sender: Sender, trusting: list[str], tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text(sender.seal(sender.recipient()[0]))
    mounted = f"--volume={tmp_path}/bundle:/bundle:ro"
    channel = "--env=CREDAGENT_BUNDLE_CHANNELS=file:/bundle"
    assert podman("run", *OFFLINE, *HARDENED, *trusting, mounted, channel, AGENT, "--", *ECHO) == f"{CANARY}\n"


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_container_ends_as_its_program_ends(script: str, code: int) -> None:
    assert run("run", *OFFLINE, AGENT, "--", "sh", "-c", script).returncode == code


def test_a_missing_program_is_127_and_a_wrong_configuration_78() -> None:
    assert run("run", *OFFLINE, AGENT, "--", "no-such-program").returncode == 127
    assert run("run", *OFFLINE, "--env=CREDAGENT_AWS_HANDOVER=nonsense", AGENT, "--", "true").returncode == 78


def test_stop_reaches_the_program_which_may_say_goodbye_and_ends_with_its_own_status(name: str) -> None:
    script = "trap 'echo goodbye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    podman("run", "--detach", f"--name={name}", *OFFLINE[1:], AGENT, "--", "sh", "-c", script)
    _until_said(name, "up")
    podman("stop", f"--time={scaled(20):.0f}", name)
    assert "goodbye" in podman("logs", name)
    ended = json.loads(podman("inspect", "--format={{json .State.ExitCode}}", name))
    assert ended == 3, "137: it was killed at the end of the grace period"


def test_it_can_be_put_before_the_entrypoint_of_a_stock_image() -> None:
    assert podman("run", *OFFLINE, STOCK, "echo", "worker").split() == ["prepared", "worker"]


def test_kill_with_another_signal_reaches_the_program(name: str) -> None:
    script = "trap 'echo renewed' USR1; echo up; while :; do sleep 0.1; done"
    podman("run", "--detach", f"--name={name}", *OFFLINE[1:], AGENT, "--", "sh", "-c", script)
    _until_said(name, "up")
    podman("kill", "--signal=USR1", name)
    _until_said(name, "renewed")


def test_orphans_are_collected() -> None:
    script = "for i in 1 2 3; do (sleep 0.1 &); done; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status; echo none"
    assert run("run", *OFFLINE, AGENT, "--", "sh", "-c", script).stdout.strip() == "none"


def test_an_agent_that_crashes_beside_its_program_comes_back(name: str) -> None:
    script = "echo up; while :; do sleep 0.1; done"
    podman("run", "--detach", f"--name={name}", "--user=0", *OFFLINE[1:], AGENT, "--", "sh", "-c", script)
    _until_said(name, "up")
    before = podman("exec", name, "sh", "-c", _AGENTS).split()
    podman("exec", name, "sh", "-c", f"kill -KILL {' '.join(before)}")
    give_up = time.monotonic() + scaled(60)
    while podman("exec", name, "sh", "-c", _AGENTS).split() in ([], before):
        assert time.monotonic() < give_up, podman("logs", name)
        time.sleep(0.1)
    while run("exec", name, "credagent", "status").returncode != 0:
        assert time.monotonic() < give_up, podman("logs", name)


def test_root_in_a_container_drops_the_program(sender: Sender) -> None:
    said = run(
        "run", "--user=0", *OFFLINE, AGENT, "--user", "nobody", "--", "sh", "-c", "id -un; grep Cap /proc/self/status"
    )
    assert said.stdout.splitlines()[0] == "nobody"
    assert "CapEff:\t0000000000000000" in said.stdout


def test_a_container_beside_the_machines_agent_asks_it_through_the_mounted_folder(
    make: Make, sender: Sender, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    machine = make(images.with_package(images.deb()), f"--bind={folder}:/run/credagent")
    configure(machine, sender)
    machine.boot()
    machine.run("systemctl", "enable", "--now", "credagent")
    deliver(machine, sender, CANARY)
    machine.until(lambda: variable(machine) == CANARY)
    machine.run(
        "systemctl", "restart", "credagent"
    )  # a mounted folder shows the new socket, a mounted socket would not
    mounted = f"--volume={folder}:/run/credagent:ro"
    named = "--env=CREDAGENT_SOCKET=/run/credagent/agent.sock"
    asking = ("run", "--rm", "--pull=never", "--network=host", mounted, named)
    dask = machine.run("id", "-u", "dask").strip()
    assert podman(*asking, f"--user={dask}", AGENT, "--", *ECHO) == f"{CANARY}\n"
    assert CANARY not in run(*asking, "--user=4321", AGENT, "--", *ECHO).stdout


def test_ctrl_c_on_a_terminal_ends_it(name: str) -> None:
    words = ("run", "--interactive", "--tty", f"--name={name}", *OFFLINE, AGENT, "--", "sh", "-c", "echo up; sleep 60")
    terminal = [
        "script",
        "--quiet",
        "--return",
        "--command",
        " ".join(f"'{w}'" for w in containers.command(*words)),
        "/dev/null",
    ]
    with subprocess.Popen(
        terminal, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=containers.environ(), text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while "up" not in process.stdout.readline():
            pass
        process.stdin.write("\x03")
        process.stdin.flush()
        assert process.wait(20) == 128 + signal.SIGINT


def _until_said(name: str, words: str) -> None:
    give_up = time.monotonic() + scaled(30)
    while words not in podman("logs", name):
        assert time.monotonic() < give_up, podman("logs", name)
        time.sleep(0.05)


def test_the_three_lines_for_an_image_of_ones_own_give_one_that_starts_with_the_agent() -> None:
    """The oldest Debian, without any Python; the agent's comes with it."""
    (recipe,) = pages.run_by(__file__, "packaging/container/README.md")
    containers.build_somebodys(images.plain("bullseye"), images.built()["tarball"], recipe.text)
    assert podman("run", *OFFLINE, containers.SOMEBODYS, "echo", "worker").split() == ["prepared", "worker"]
    said = podman("run", *OFFLINE, *HARDENED, "--user=1234", "--tmpfs=/tmp", containers.SOMEBODYS, *ECHO, check=False)
    assert said.split() == ["prepared"]
