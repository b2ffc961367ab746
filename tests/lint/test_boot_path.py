"""What the daemon imports before it is ready stays light: a worker waits for it."""

import subprocess
import sys

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "ctypes",
    "dataclasses",
    "google",
    "http",
    "inspect",
    "logging",
    "psutil",
    "requests",
    "ssl",
    "structlog",
    "subprocess",
}

BOOT_PATH = [
    "credagent",
    "credagent.secret",
    "credagent.errors",
    "credagent.log",
    "credagent.system.file_writing",
    "credagent.config",
    "credagent.admission.denied_variables",
    "credagent.credentials",
    "credagent.bundle.contents",
    "credagent.cli.main",
    "credagent.cli.commands.run",
    "credagent.daemon.startup",
]


def test_the_boot_path_loads_nothing_heavy() -> None:
    for module in BOOT_PATH:
        # msgspec imports typing_extensions, and so inspect, only where some other package has brought it.
        program = f"import sys; sys.modules['typing_extensions'] = None; import {module}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
        assert HEAVY.isdisjoint(done.stdout.split()), module
