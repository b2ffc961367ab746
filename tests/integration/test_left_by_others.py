"""The command in a process whose standard streams, import path or environment somebody else has left in disorder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.agents import Machine, machine
from tests.patience import scaled

__all__ = ["machine"]
EXEC = ("exec", "--", "echo", "started")


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_a_program_starts_where_standard_error_is_closed(machine: Machine, closed: str) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *machine.program, *EXEC]
    environ = {**machine.environ, **_settings(machine)}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=scaled(60), check=False)
    assert (done.returncode, done.stdout) == (0, "started\n")


def test_an_error_is_not_written_into_standard_output_where_standard_error_is_closed(machine: Machine) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *machine.program, "no-such-command"]
    done = subprocess.run(
        command, env=machine.environ, stdout=subprocess.PIPE, text=True, timeout=scaled(60), check=False
    )
    assert (done.returncode, done.stdout) == (64, "")


def test_packages_of_another_python_are_the_programs_alone(machine: Machine, tmp_path: Path) -> None:
    for package in ("msgspec", "cryptography", "structlog"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text('raise ImportError("built for another Python")\n')
    environ = {"PYTHONPATH": str(tmp_path), "CREDAGENT_GOOGLE_HANDOVER": "off"}
    environ |= {
        "CREDAGENT_AGENT_RUNTIME_DIR": str(machine.run_dir),
        "CREDAGENT_AGENT_STATE_DIR": str(machine.state_dir),
    }
    done = machine.run("exec", "--", "sh", "-c", "echo $PYTHONPATH", **environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}:")


def test_the_package_is_found_where_pythonpath_is_how_it_was_installed(tmp_path: Path) -> None:
    import credagent

    (tmp_path / "credagent").symlink_to(Path(credagent.__file__).parent)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "credagent", "--version"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_python_that_is_too_old_is_named_as_such() -> None:
    program = "import sys; sys.version_info = (3, 9, 2); from credagent.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert done.stderr.startswith("credagent: needs Python 3.11 or later; this one is 3.9\nhint: ")


def test_a_value_that_is_not_utf8_is_named_as_such(machine: Machine) -> None:
    made = machine.run("keygen", "--role", "sender", "--out", str(machine.folder / "keys"))
    assert made.returncode == 0
    options = ["--recipient", machine.recipient.public_key.line, "--audience", "a", "--aws", "none"]
    options += ["--sender-key", str(machine.folder / "keys" / "sender.key"), "--env", "DB_PASSWORD"]
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    done = machine.run("seal", *options, DB_PASSWORD=value)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("credagent: DB_PASSWORD: its value is not UTF-8\nhint: ")


def _settings(machine: Machine) -> dict[str, str]:
    return {
        "CREDAGENT_AGENT_RUNTIME_DIR": str(machine.run_dir),
        "CREDAGENT_AGENT_STATE_DIR": str(machine.state_dir),
        "CREDAGENT_GOOGLE_HANDOVER": "off",
    }
