"""Machines and containers for the system tests: made in order, ended in any case."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system import images
from tests.system.cloud import AUDIENCE, Cloud, Sender
from tests.system.machine import Machine, Network, networked

CONFIGURATION = """\
[agent]
audience = "{audience}"
[bundle]
trusted_senders = ["{sender}"]
"""
DEBUG = '[log]\nlevel = "debug"\n'  # all that it would ever say: what it said is searched for the canary


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each case the time that a machine needs."""
    for item in items:
        item.add_marker(pytest.mark.timeout(300))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List each case with its time, its machine's making and end included."""
    times: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                times[report.nodeid] = times.get(report.nodeid, 0) + report.duration
    terminalreporter.section("cases and their times")
    for case, seconds in times.items():
        terminalreporter.line(f"{seconds:7.1f} s  {case.partition('::')[2].replace('_', ' ')}")


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.exit("the system tests boot machines: run them as root", returncode=1)


@pytest.fixture(scope="session")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender(tmp_path_factory.mktemp("sender"))


@pytest.fixture
def network() -> Iterator[Network]:
    with networked(f"ca-{uuid.uuid4().hex[:8]}") as network:
        yield network


@pytest.fixture
def cloud(network: Network, tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(network, tmp_path) as cloud:
        yield cloud


@pytest.fixture
def google(network: Network, tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(network, tmp_path, face="google-metadata") as cloud:
        yield cloud


Make = Callable[..., Machine]


@pytest.fixture
def make(network: Network) -> Iterator[Make]:
    """Make machines from an image, not booted."""
    with ExitStack() as stack:

        def _make(image: Path, *options: str) -> Machine:
            folder = Path(tempfile.mkdtemp(prefix="m-", dir=images.FOLDER))
            return stack.enter_context(Machine(image, folder, network, options=options))

        yield _make


@pytest.fixture
def node(make: Make, sender: Sender) -> Machine:
    """Return a machine with the package, configured to trust the sender; not booted."""
    machine = make(images.with_package(images.deb()))
    configure(machine, sender)
    return machine


@pytest.fixture
def running(node: Machine) -> Machine:
    """Return a booted machine whose agent is ready."""
    node.boot()
    node.run("systemctl", "enable", "--now", "credagent")
    return node


def configure(machine: Machine, sender: Sender, more: str = "") -> None:
    """Write the configuration, as an administrator would."""
    text = CONFIGURATION.format(audience=AUDIENCE, sender=sender.public_key) + more + DEBUG
    (machine.root / "etc/credagent").mkdir(exist_ok=True)
    (machine.root / "etc/credagent/config.toml").write_text(text)
