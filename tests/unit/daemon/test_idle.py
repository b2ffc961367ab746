"""How often an idle agent wakes its machine. Its real loop runs, and time passes only when it waits."""

import asyncio
import selectors
import signal
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.bundle.contents import EnvironmentGrant, GoogleAccessTokenGrant
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from credagent.clock import SystemClock
from credagent.config import Config
from credagent.credentials import Slot, Statement
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent
from credagent.daemon.main_loop import MainLoop
from credagent.handover.listening_sockets import ListeningSockets
from credagent.secret import Secret
from tests.canary import CANARY
from tests.integration.letters import letter, session

IDLE_S = 1_800.0
DAY_S = 86_400.0
MOST_PER_S = 0.05
ENVIRONMENT = EnvironmentGrant(variables={"DB_TOKEN": Secret(CANARY)})
UNIT = Path(__file__).parents[3] / "systemd" / "credagent.service"


class WaitingPasses(selectors.EpollSelector):
    """A selector that does not wait: what there is to read it finds, and the time it should have waited has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0
        self.wake_ups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout:
            self.passed_s += timeout
            self.wake_ups += 1
        return found


class IdleLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is its selector's."""

    def __init__(self) -> None:
        self.waiting = WaitingPasses()
        super().__init__(self.waiting)

    def time(self) -> float:
        return 10_000.0 + self.waiting.passed_s


class LoopClock(SystemClock):
    """The machine's clocks, by the loop's time."""

    def __init__(self, loop: IdleLoop) -> None:
        self._loop, self._began = loop, datetime.now(UTC)

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self._loop.waiting.passed_s)

    def monotonic(self) -> float:
        return self._loop.time()


def test_an_idle_agent_of_the_default_configuration_wakes_its_machine_three_times_a_minute_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All slots are filled, and the service manager watches as the unit tells it to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, asyncio.Runner(loop_factory=IdleLoop) as runner:
        manager.bind(str(tmp_path / "notify"))
        said: list[bytes] = []
        runner.get_loop().add_reader(manager, lambda: said.append(manager.recv(4096)))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(_watchdog_s() * 1_000_000))
        loop = runner.get_loop()
        assert isinstance(loop, IdleLoop)
        agent = _agent(tmp_path, LoopClock(loop))
        wake_ups = runner.run(_idle(agent, loop))
    assert agent.resolver.is_filled(Slot.AWS)
    assert agent.resolver.is_filled(Slot.GOOGLE)
    assert 1 < wake_ups <= MOST_PER_S * IDLE_S
    assert said.count(b"WATCHDOG=1") >= 2 * IDLE_S / _watchdog_s() - 1


async def _idle(agent: Agent, loop: IdleLoop) -> int:
    """Run until the time is over; return how often the loop waited once it had come to rest."""
    running = asyncio.create_task(MainLoop(agent, _no_reload).run())
    await asyncio.sleep(60)
    before = loop.waiting.wake_ups
    await asyncio.sleep(IDLE_S)
    wake_ups = loop.waiting.wake_ups - before
    if not running.done():  # else it failed, and nobody would take the signal
        signal.raise_signal(signal.SIGTERM)
    await running
    return wake_ups


def _no_reload(_: Config) -> tuple[Config, list[str]]:
    raise AssertionError("nobody asked for a reload")


def _agent(folder: Path, clock: SystemClock) -> Agent:
    """Return an agent in its default configuration, of other folders, with a bundle that fills all slots for a day."""
    sender, key = SenderPrivateKey.generate(), RecipientPrivateKey.generate()
    own = folder / "recipient.key"
    own.touch(mode=0o600)
    own.write_text(key.to_text().reveal())
    environ = {
        "CREDAGENT_AGENT_RUNTIME_DIR": f"{folder}/run",
        "CREDAGENT_AGENT_STATE_DIR": f"{folder}/state",
        "CREDAGENT_AGENT_AUDIENCE": "lab",
        "CREDAGENT_BUNDLE_RECIPIENT_KEYS": f"file:{own}",
        "CREDAGENT_BUNDLE_TRUSTED_SENDERS": sender.public_key.line,
        "CREDAGENT_ENDPOINT_LISTEN": "127.0.0.1:0",
    }
    config = configuration.load(None, environ)
    runtime_folders.prepare(config)
    token = GoogleAccessTokenGrant(access_token=Secret(CANARY), expires_at=clock.now() + timedelta(seconds=DAY_S))
    granted = letter(slots=dict.fromkeys(Slot, Statement.GRANTED), grants=(session(DAY_S), token, ENVIRONMENT))
    (folder / "run" / "inbox" / "bundle").write_text(seal(granted, [key.public_key], sender))
    return _booted(config, clock, environ)


def _booted(config: Config, clock: SystemClock, environ: Mapping[str, str]) -> Agent:
    """Return what `agent.boot` does, without taking from this process what an agent must not have."""
    agent = Agent(config, environ, clock=clock)
    agent.locks = runtime_folders.take_locks(config)
    agent.handover.bind(ListeningSockets())
    agent.resolve()
    agent.hand_over()
    agent.bind()
    return agent


def _watchdog_s() -> int:
    return int(
        next(line for line in UNIT.read_text().splitlines() if line.startswith("WatchdogSec=")).partition("=")[2]
    )
