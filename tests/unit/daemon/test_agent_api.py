"""What the agent says of itself, and what that costs where hundreds of workers ask."""

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from credagent.daemon.agent_api import AgentApi
from credagent.errors import CredagentError
from credagent.handover.unix.request_dispatch import Subscriber
from tests.unit.daemon.test_resolving import ONE, service


async def nobody_delivers(_bundle: str, _channel: str) -> str:
    raise CredagentError("none", "no deliveries here")


def test_workers_get_the_same_object_until_something_in_it_is_another(tmp_path: Path) -> None:
    """So that a set is rendered and encoded once for a generation, however many workers come back after a restart."""
    agent = service(tmp_path, ONE)
    api = AgentApi(agent, deliver=nobody_delivers)
    given = [api.worker_document() for _ in range(500)]
    assert all(one is given[0] for one in given)
    agent.resolver.wait_no_longer()
    settled = api.worker_document()
    assert (given[0]["settled"], settled["settled"]) == (False, True)
    assert api.worker_document() is settled


class SeenBy(tuple[Subscriber, ...]):
    """Subscribers that note which thread looks at them."""

    __slots__ = ()
    threads: set[int] = set()  # noqa: RUF012  of the class: a tuple holds nothing else

    def __iter__(self) -> Iterator[Subscriber]:
        SeenBy.threads.add(threading.get_ident())
        return super().__iter__()


def test_a_status_looks_at_its_workers_beside_the_loop_once_for_all_who_ask(tmp_path: Path) -> None:
    agent = service(tmp_path, f"file:{tmp_path}/bundle")
    known: dict[str, Any] = {"uid": 0, "role": "worker", "generation": None, "since": datetime.now(UTC)}
    workers = SeenBy((Subscriber(pid=os.getpid(), **known), Subscriber(pid=2**22 + 1, **known)))
    api = AgentApi(agent, deliver=nobody_delivers, subscribers=lambda: workers)

    async def story() -> tuple[int, list[dict[str, Any]]]:
        return threading.get_ident(), await asyncio.gather(*(api.status() for _ in range(20)))

    loop_thread, said = asyncio.run(story())
    assert [worker["pid"] for worker in said[0]["workers"]] == [os.getpid()]  # the other process is not there
    assert all(one is said[0] for one in said)
    assert said[0]["agent"]["uss_bytes"] > 0
    assert SeenBy.threads
    assert loop_thread not in SeenBy.threads
