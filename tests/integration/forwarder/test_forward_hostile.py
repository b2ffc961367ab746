"""A cluster in which somebody misbehaves: tasks that log events, workers that answer rubbish or never."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.dask_cluster import answer_limits
from credagent.dask_cluster.dask_plugins import TOPIC
from tests.integration.forwarder.play import READ, SECRET, Said, address_of, client_of, small, token_on
from tests.integration.forwarder.stage import Stage, within
from tests.patience import scaled

LOG = "__import__('distributed').get_worker().log_event({!r}, {!r})"
FLOOD = (
    "[__import__('distributed').get_worker().log_event({!r}, {{**{!r}, 'address': f'tcp://10.9.8.7:{{number}}',"
    " 'nonce': f'{{number}}' if number % 2 else ''}}) for number in range({})] and None"
)
INVENTED = 5_000


def test_thousands_of_machines_that_a_task_invents_keep_nobody_waiting(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    late = stage.machine("late", key.public_key.line)
    thief = RecipientPrivateKey.generate().public_key.line
    report = {"credagent": 1, "host": "invented", "public_key": thief, "audience": "lab"}
    with client_of(stage, 1) as client, forward(trust="any") as forwarding:
        queued = client.submit(eval, READ, resources={"late": 1}, pure=False)
        client.submit(eval, FLOOD.format(TOPIC, report, INVENTED)).result()
        stage.start_worker(late, "late", "--no-nanny", "--resources", "late=1")
        assert queued.result(timeout=scaled(60)) == SECRET
        admitted = ["admitted", "admitted"]
        within(30, lambda: [machine.state for machine in forwarding.status().machines] == admitted, "both are known")
        mail = [topic for topic in client.get_events() if str(topic).startswith("credagent-mail/")]
        assert len(mail) == 1  # nothing was sealed for the thief
    assert not said.about("invented")


def test_a_task_cannot_end_a_forwarder_by_announcing_another(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    with client_of(stage, 1) as client, forward(trust="any") as forwarding:
        address = address_of(client, "a")
        other = {"forwarder": "credagent-forward-evil", "forwarder_sender": key.key_id, "sender": "ab" * 16}
        for message in (other, {**other, "credagent": 1, "address": address}, "x", 7, {"address": [address]}):
            client.submit(eval, LOG.format(TOPIC, message)).result()
        # It goes on: an agent that has lost what it had gets it again.
        a.stop_agent()
        shutil.rmtree(a.folder / "state")
        a.start_agent()
        within(40, lambda: a.env_of_slot().get("DB_TOKEN") == SECRET, "the machine is served again")
        assert forwarding.status().state == "forwarding"
    assert not said.about("this forwarder stops")


def test_workers_that_answer_rubbish_or_never_are_named_and_do_not_keep_the_others(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("REPORT", 2.0), ("INSTALLED", 3.0)):
        monkeypatch.setattr(answer_limits, name, replace(getattr(answer_limits, name), deadline_s=scaled(seconds)))
    (a,) = small(stage, key, "a")
    preload = stage.folder / "hostile.py"
    preload.write_text("""
import asyncio, os
def dask_setup(worker):
    if os.environ["MOOD"] == "rubbish":
        async def answer(**message): return {"credagent": 1, "public_key": ["x"], "address": 7}
    else:
        async def answer(**message): await asyncio.sleep(600)
    worker.handlers.update({"plugin-add": answer, "credagent-report": answer, "credagent-deliver": answer})
""")
    for mood in ("rubbish", "silent"):
        stage.start_worker(a, mood, "--no-nanny", "--preload", str(preload), MOOD=mood)
    with client_of(stage, 3) as client, forward() as forwarding:
        rubbish, silent = (address_of(client, mood) for mood in ("rubbish", "silent"))
        assert token_on(client, "a") == SECRET
        assert forwarding.status().state == "forwarding"
        assert said.about(f"{rubbish}: forwarding could not be installed there")
        assert said.about(f"{silent}: silent. it does not answer")
        assert said.about("forwarded to 1 machine (2 processes)")
