"""What holds for every test: no packet leaves the machine, nothing of the developer's is read, what is said is kept.

The environment is cleaned before the first module is imported, since SDKs read it at import.
"""

import ipaddress
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.canary import CANARY, log_file
from tests.patience import scaled

OF_THE_DEVELOPER = re.compile(
    r"AWS_|BOTO|GOOGLE_|GCE_|GCLOUD_|CLOUDSDK_|CPL_|GDAL_|DASK_|CREDAGENT_(?!TEST_)|XDG_|PYTHONPATH"
    r"|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|NOTIFY_SOCKET|LISTEN_|WATCHDOG_|CREDENTIALS_DIRECTORY|NO_GCE_CHECK"
)

_private = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Leave the developer's own accounts, configuration and home behind."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:  # run by nohup or in the background: programs inherit it
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name in [name for name in os.environ if OF_THE_DEVELOPER.match(name)]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="ca-"))  # short: a Unix socket's path has 108 bytes
    config.stash[_private] = home
    for name, folder in (("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")):
        (home / folder).mkdir(mode=0o700)
        os.environ[name] = str(home / folder)
    os.environ |= {
        "XDG_CONFIG_HOME": str(home / "home" / ".config"),
        "XDG_CACHE_HOME": str(home / "home" / ".cache"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
    }
    os.environ.setdefault("PYTEST_TIMEOUT", str(scaled(float(config.getini("timeout")))))  # read by pytest-timeout
    spawns_workers = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if not spawns_workers:  # read by now; an agent that a test starts would call it an unknown variable
        os.environ.pop("CREDAGENT_TEST_PATIENCE", None)
    # How long an example takes says how busy the machine is.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any-machine", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("any-machine")
    sys.addaudithook(_stay_on_this_machine)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lengthen the time-outs that tests name for themselves, as every other wait."""
    for item in items:
        if mark := item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(scaled(mark.args[0])), append=False)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the home of this run."""
    shutil.rmtree(config.stash[_private], ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what each test printed and logged, passed ones included: the canary is searched there after the run."""
    if report.sections and "PYTEST_XDIST_TESTRUNUID" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        return  # the worker that ran it has kept it
    if report.sections:
        with _captured().open("a", encoding="utf-8") as kept:
            for title, text in report.sections:
                kept.write(f"== {report.nodeid} {report.when} {title}\n{text}\n")


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Let no test inherit another's environment."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _process_is_no_sender() -> Iterator[None]:
    """Let no test find that an earlier one forwarded from this process: a sender's process is never supplied."""
    yield
    if shared := sys.modules.get("_credagent_process"):
        shared.is_sender = False  # type: ignore[attr-defined]  # a module made up at run time


@pytest.fixture(autouse=True)
def _events_kept() -> Iterator[None]:
    """Write the log events that a test left waiting in memory, of every level, to where the canary is searched."""
    yield
    log = sys.modules.get("credagent.log")
    if log is not None and log._waiting:
        with _captured().open("a", encoding="utf-8") as kept:
            while log._waiting:
                kept.write(f"{log._waiting.popleft()!r}\n")


@pytest.fixture
def canary() -> str:
    """Return the secret that must never be seen in a log."""
    return CANARY


def _captured(found: list[Path] = []) -> Path:  # noqa: B006  one file for each process of the run
    if not found:
        found.append(log_file("captured"))
    return found[0]


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to connect, send or resolve beyond loopback: a test that needs the network is a test that lies."""
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        if event == "socket.connect" and arguments[0].type == socket.SOCK_DGRAM:
            return  # sends nothing: how Dask asks the kernel for its own address
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo":
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0] or "localhost"
    else:
        return
    if host in ("", "localhost", "0.0.0.0", "::") or host == _this_host():  # noqa: S104  a destination, not a listener
        return
    try:
        local = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        local = False
    if not local:
        raise PermissionError(f"a test tried to reach {host}: only loopback is allowed")


def _this_host() -> str:
    return os.uname().nodename
