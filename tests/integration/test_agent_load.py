"""Load on agent.sock and on the endpoint at once: workers follow, SDKs ask, and every answer is whole and present."""

import json
import threading
import urllib.request
from collections.abc import Callable

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.integration.agents import Connection, Machine, machine
from tests.integration.letters import letter
from tests.patience import scaled

__all__ = ["machine"]

WORKERS, READERS, REQUESTS = 24, 6, 50


def test_workers_and_sdks_are_answered_while_sets_change(machine: Machine) -> None:
    machine.configure(aws={"handover": "endpoint"})
    machine.put(machine.sealed(letter(aws=Statement.GRANTED, variables={"NUMBER": "0"})))
    machine.start()
    environment = machine.ask("set")["environment"]
    headers = {"Authorization": environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    url = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    wrong: list[object] = []

    def ask_the_endpoint() -> None:
        for _ in range(REQUESTS):
            request = urllib.request.Request(url, headers=headers)  # noqa: S310  the agent's own endpoint
            with urllib.request.urlopen(request, timeout=scaled(30)) as answer:  # noqa: S310  the agent's own endpoint
                found = json.load(answer)
            if found["SecretAccessKey"] != CANARY:
                wrong.append("an answer of the endpoint")

    def follow() -> None:
        with machine.connection() as agent:
            numbers = [agent_set["environment"]["NUMBER"] for agent_set in _until(agent, str(len(published)))]
            if numbers != sorted(numbers):
                wrong.append(numbers)

    published = range(1, 6)
    threads = [
        threading.Thread(target=_noting(work, wrong)) for work in [ask_the_endpoint] * READERS + [follow] * WORKERS
    ]
    for thread in threads:
        thread.start()
    for number in published:
        machine.put(machine.sealed(letter(aws=Statement.GRANTED, variables={"NUMBER": str(number)})))
        machine.until(lambda: machine.value("NUMBER") == str(number))  # noqa: B023  waited for in this turn
    for thread in threads:
        thread.join(scaled(60))
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def _until(agent: Connection, last: str) -> list[dict[str, dict[str, str]]]:
    """Return the sets that one subscriber gets, up to the last one."""
    agent.tell("subscribe", role="worker")
    sets = [agent.hear()]
    while sets[-1]["environment"]["NUMBER"] != last:
        sets.append(agent.hear())
    return sets


def _noting(work: Callable[[], None], wrong: list[object]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  a thread's own; the test tells it
            wrong.append(error)

    return run
