"""A worker that starts asks for its first bundle until it has one that its agent takes, and then begins its tasks."""

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from credagent.dask_cluster import dask_plugins
from credagent.dask_cluster.dask_plugins import MAILBOX, TOPIC, ForwardingPlugin
from credagent.worker import credagent_worker

pytest.importorskip("distributed")

SETTINGS = {"sender": "aa", "forwarder": "credagent-forward-x", "ended": ""}


class FakeSession:
    """A subscription that is complete at once, or never."""

    generation: int | None = None

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete

    def wait(self, _wait_s: float | None = None) -> bool:
        return self._complete


class FakeSide:
    """The worker's side and the agent behind it: `outcomes` says what becomes of each bundle."""

    UNAVAILABLE = credagent_worker.UNAVAILABLE
    AgentAbsent = credagent_worker.AgentAbsent
    AgentRefused = credagent_worker.AgentRefused

    def __init__(self, outcomes: Mapping[str, str], *, complete: bool = True, wait_s: float = 30.0) -> None:
        self._outcomes, self._complete, self._wait_s = outcomes, complete, wait_s
        self.delivered: list[str] = []

    def ask(self, request: Mapping[str, object], path: str | None = None, timeout: float = 10.0) -> dict[str, Any]:
        del path, timeout
        match request["op"]:
            case "identity":
                return {"public_key": "a key", "audience": "lab"}
            case "status":
                return {"bundle": None, "generation": 1, "workers": []}
            case "set":
                return {"slots": {"environment": {"filled": True}}, "generation": 1}
            case _:
                self.delivered.append(str(request["bundle"]))
                outcome = self._outcomes[str(request["bundle"])]
                if outcome not in dask_plugins.TAKEN:
                    raise credagent_worker.AgentRefused(outcome, outcome)
                return {"outcome": outcome}

    def start(self, _role: str) -> FakeSession:
        return FakeSession(complete=self._complete)

    def role_of(self, _server: object) -> str:
        return "worker"

    def configured_wait_s(self) -> float:
        return self._wait_s

    def known_generation(self, _session: object) -> int:
        return 1


class FakeWorker:
    """A worker that starts. `answer` says what a request finds in its mailbox."""

    def __init__(self, answer: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        self.handlers: dict[str, Any] = {}
        self.contact_address = self.address = "tcp://127.0.0.1:1"
        self.periodic_callbacks = {"heartbeat": self}
        self.requests: list[dict[str, Any]] = []
        self._answer = answer
        self.scheduler = self

    def is_running(self) -> bool:
        return False

    def log_event(self, topic: str, message: dict[str, Any]) -> None:
        assert topic == TOPIC
        if message.get("nonce"):
            self.requests.append(message)

    async def events(self, topic: str) -> list[tuple[float, dict[str, Any]]]:
        assert topic == MAILBOX + self.requests[0]["nonce"]
        return [(0.0, mail) for mail in self._answer(self.requests)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_plugins, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(dask_plugins, "MAIL_PAUSE_S", 0.001)


def begin(side: FakeSide, worker: FakeWorker, settings: Mapping[str, Any] = SETTINGS) -> None:
    asyncio.run(ForwardingPlugin(side, worker, "worker").begin(settings))


def mail(bundle: str) -> dict[str, Any]:
    return {"bundle": bundle, "slots": ["environment"]}


def test_it_asks_again_until_a_forwarder_answers() -> None:
    """The first request is lost: the forwarder had just died, and the next one came up."""
    side = FakeSide({"good": "admitted"})
    worker = FakeWorker(lambda requests: [mail("good")] if len(requests) > 2 else [])
    begin(side, worker)
    assert side.delivered == ["good"]


def test_of_two_forwarders_the_one_that_the_agent_trusts_is_heard() -> None:
    side = FakeSide({"strange": "untrusted-sender", "good": "admitted"})
    begin(side, FakeWorker(lambda _requests: [mail("strange"), mail("good")]))
    assert side.delivered == ["strange", "good"]


def test_a_bundle_that_is_too_old_is_asked_for_afresh() -> None:
    side = FakeSide({"old": "too-old", "new": "admitted"})

    def answer(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        fresh = [mail("new")] if any(request["outcome"] == "too-old" for request in requests) else []
        return [mail("old"), *fresh]

    begin(side, FakeWorker(answer))
    assert side.delivered == ["old", "new"]


def test_one_that_is_told_why_it_gets_nothing_begins_without() -> None:
    side = FakeSide({})
    begin(side, FakeWorker(lambda _requests: [{"why": "joined-later"}]))
    assert side.delivered == []


@pytest.mark.parametrize("settings", [{**SETTINGS, "ended": "ended"}, {"guest": True}])
def test_where_no_forwarder_is_at_work_nobody_waits(settings: Mapping[str, Any]) -> None:
    worker = FakeWorker(lambda _requests: [])
    begin(FakeSide({}), worker, settings)
    assert worker.requests == []


def test_the_scheduler_knows_since_when_its_forwarder_is_away() -> None:
    def away(plugin: ForwardingPlugin) -> bool:
        return "forwarder_away_since" in asyncio.run(plugin.status())

    scheduler = SimpleNamespace(clients={"somebody": None})
    plugin = ForwardingPlugin(FakeSide({}), scheduler, "scheduler")
    plugin.settings = SETTINGS
    plugin.client_left("somebody")
    assert not away(plugin)
    plugin.client_left(SETTINGS["forwarder"])
    assert away(plugin)
    scheduler.clients[SETTINGS["forwarder"]] = None
    assert not away(plugin), "it has connected again"
    del scheduler.clients[SETTINGS["forwarder"]]
    plugin.settings = {**SETTINGS, "forwarder": "credagent-forward-y"}
    assert not away(plugin), "another has taken over"


def test_one_that_may_not_start_without_credentials_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDAGENT_WORKER_MISSING", "exit")
    side = FakeSide({}, complete=False, wait_s=0.0)
    with pytest.raises(SystemExit) as left:
        begin(side, FakeWorker(lambda _requests: []))
    assert left.value.code == 69
