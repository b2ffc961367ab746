"""What is installed from the wheel works with nothing configured but the keys. Built and installed once into build/."""

import fcntl
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.canary import CANARY
from tests.demo.stage import clean_environment
from tests.integration.agents import Machine, machine
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud", "machine"]

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("wheel")]

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "wheel-test"


def sources() -> Iterator[Path]:
    """Yield what the wheel is made of."""
    yield from (ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))
    yield from (path for path in sorted((ROOT / "agent").rglob("*")) if path.is_file() and path.suffix != ".pyc")


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Let one process at a time build and install here, however the stories were dealt out."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def wheel(alone: None) -> Path:
    """Return the wheel of the present sources."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()[:16]
    folder = BUILT / digest
    if not list(folder.glob("*.whl")):
        say("build", sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Path:
    """Return the folder of programs of an environment into which only the wheel was installed."""
    venv, installed = BUILT / "venv", BUILT / "installed"
    if not installed.exists() or installed.read_text() != str(wheel):
        installed.unlink(missing_ok=True)
        say("venv", sys.executable, "-m", "venv", str(venv))
        pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        say("install", *pip, "--force-reinstall", "--no-deps", str(wheel))
        say("install", *pip, str(wheel))
        installed.write_text(str(wheel))
    return venv / "bin"


def say(what: str, *command: str) -> None:
    """Run one step of the set-up; fail with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BUILT)
    assert done.returncode == 0, f"{what}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_the_wheel_holds_the_workers_module_alone_in_its_folder_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if "/worker/" in name] == ["credagent/worker/credagent_worker.py"]
    assert "credagent/py.typed" in names
    assert not [name for name in names if "/vectors/" in name or name.startswith("tests")]


def test_an_index_would_take_it(wheel: Path) -> None:
    say("twine", sys.executable, "-m", "twine", "check", "--strict", str(wheel))


def test_keys_a_sealed_bundle_and_one_resolution(programs: Path, machine: Machine) -> None:
    program, folder = str(programs / "credagent"), machine.folder
    environ = {
        **clean_environment(),
        "HOME": str(folder),
        "DB_TOKEN": CANARY,
        "CREDAGENT_AGENT_RUNTIME_DIR": str(machine.run_dir),
        "CREDAGENT_AGENT_STATE_DIR": str(machine.state_dir),
        "CREDAGENT_WORKERS_USERS": "",
        "CREDAGENT_WORKERS_GROUPS": "",
    }

    def type_(*words: str, given: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [program, *words], env={**environ, **more}, input=given, capture_output=True, text=True, check=False
        )
        with machine.log.open("a") as log:
            log.write(done.stderr)
        assert done.returncode == 0, done.stderr
        return done

    keys = str(folder / "keys")
    type_("keygen", "--role", "sender", "--out", keys)
    type_("keygen", "--role", "recipient", "--out", keys)
    options = ("--recipient", f"{keys}/recipient.pub", "--sender-key", f"{keys}/sender.key", "--audience", "lab")
    sealed = type_("seal", *options, "--aws", "none", "--env", "DB_TOKEN").stdout
    shown = type_("inspect", "-", "--recipient-key", f"{keys}/recipient.key", given=sealed).stdout
    assert "DB_TOKEN" in shown
    assert CANARY not in shown + sealed
    (folder / "sealed").write_text(sealed)
    type_(
        "run",
        "--once",
        CREDAGENT_AGENT_AUDIENCE="lab",
        CREDAGENT_BUNDLE_CHANNELS=f"file:{folder}/sealed",
        CREDAGENT_BUNDLE_RECIPIENT_KEYS=f"file:{keys}/recipient.key",
        CREDAGENT_BUNDLE_TRUSTED_SENDERS=(folder / "keys" / "sender.pub").read_text().strip(),
    )
    assert CANARY in machine.worker_env.read_text()


def test_the_readmes_first_steps_are_typed_as_they_stand(
    programs: Path, wheel: Path, cloud: Cloud, tmp_path: Path
) -> None:
    """Installed, looked at, a key made: in the folder of a clone in which the wheel was built."""
    user = cloud.simulator.create_user("ada")
    keys = {f"AWS_{name.upper()}": user[name] for name in ("access_key_id", "secret_access_key")}
    (tmp_path / "dist").symlink_to(wheel.parent)
    found = {"HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
    (block,) = pages.run_by(__file__, "README.md")
    said = ""
    for line in block.typed:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env={**clean_environment(), **cloud.environ, **WITHOUT_MACHINE, **keys, **found},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said += done.stdout
    assert "arn:aws:iam::123456789012:user/ada" in said
    assert (tmp_path / ".config" / "credagent" / "sender.pub").read_text().strip() in said


def test_an_agent_of_the_wheel_starts_answers_and_ends(programs: Path, machine: Machine) -> None:
    machine.program = [str(programs / "credagent")]
    machine.start()
    assert machine.status()["state"] == "ready"
    assert machine.stop() == 0


def test_importing_the_package_loads_next_to_nothing(programs: Path) -> None:
    program = "import sys; before = set(sys.modules); import credagent; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [str(programs / "python"), "-I", "-c", program], capture_output=True, text=True, check=True, cwd=os.sep
    )
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("credagent")} == {"credagent"}
    assert not loaded & {"asyncio", "cryptography", "distributed", "inspect", "json", "logging", "msgspec", "socket"}


def test_the_workers_module_is_found_by_its_path(programs: Path) -> None:
    found = subprocess.run([str(programs / "credagent"), "worker-path"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    assert path.is_relative_to(BUILT)
    assert [one.name for one in path.iterdir() if one.suffix == ".py"] == ["credagent_worker.py"]
