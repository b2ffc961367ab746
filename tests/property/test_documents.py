"""No document is larger than what its reader takes: the largest of each kind is read by the real reader."""

import json
import os
import socket
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credagent.credentials import AwsCredentials, Held, Origin, Slot, Statement, Variables
from credagent.errors import Refused
from credagent.exec.agent_subscription import LONGEST_LINE_BYTES, AgentSubscription
from credagent.handover.unix.protocol import ANSWER_BYTES, MOST_GENERATIONS, encode, encode_refusal, set_lines
from credagent.operations.observability.status_document import (
    MOST_WORKERS,
    AgentSnapshot,
    BundleSnapshot,
    SlotSnapshot,
    Snapshot,
    WorkerSnapshot,
    document,
)
from credagent.secret import Secret
from credagent.slots.refusal_log import Refusal
from credagent.slots.source_state import SourceFailure
from credagent.worker import credagent_worker
from tests.standin import EMPTY_SLOTS

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
WORST = "\x01"  # six bytes in JSON
LONG = WORST * 200_000  # longer than any envelope could carry


def read_by_a_worker(lines: bytes, many: int = 1) -> list[dict[str, Any]]:
    """Return what the worker's side reads of `lines`."""
    ours, theirs = socket.socketpair()
    sending = threading.Thread(target=theirs.sendall, args=(lines,))
    sending.start()
    reader = credagent_worker.AgentConnection.__new__(credagent_worker.AgentConnection)
    reader._received, reader.sock = bytearray(), ours
    with ours:
        answers = [reader.receive() for _ in range(many)]
    sending.join()
    theirs.close()
    return answers


def test_all_ends_have_the_same_limit() -> None:
    assert credagent_worker.ANSWER_BYTES == ANSWER_BYTES == LONGEST_LINE_BYTES


def largest_status() -> dict[str, Any]:
    failure = SourceFailure(code=LONG[:64], message=LONG, hint=LONG, at=NOW, failures=2**31)
    session = AwsCredentials(access_key_id="A", secret_access_key=Secret("s"), expires_at=NOW)
    names = Variables(values={f"N{number:06}": Secret("") for number in range(96 * 1024 // 8)})
    contents = {
        Slot.AWS: Held(credentials=session, origin=Origin.BUNDLE, principal=LONG, obtained_at=NOW, expires_at=NOW),
        Slot.GOOGLE: Held(credentials=session, origin=Origin.BUNDLE, principal=LONG, obtained_at=NOW, expires_at=NOW),
        Slot.ENVIRONMENT: Held(credentials=names, origin=Origin.BUNDLE, obtained_at=NOW),
    }
    slots = {
        slot: SlotSnapshot(content=content, tried=True, statement=Statement.GRANTED, renew_at=NOW, failure=failure)
        for slot, content in contents.items()
    }
    refusal = Refusal(code="denied-variable", at=NOW, channel=LONG, message=LONG, hint=LONG)
    generation = MOST_GENERATIONS - 1
    worker = WorkerSnapshot(pid=2**22, uid=2**32 - 2, role="scheduler", generation=generation, since=NOW)
    bundle = BundleSnapshot(bundle_id=LONG, sender="f" * 32, sequence=2**53, issued_at=NOW, not_after=NOW, channel=LONG)
    return document(
        Snapshot(
            now=NOW,
            since=NOW,
            generation=generation,
            audience="a" * 256,
            public_key="k" * 2_000,
            slots=slots,
            agent=AgentSnapshot(version="1.0", pid=2**22, uptime_s=1e9, rss_bytes=2**40, uss_bytes=2**40),
            bundle=bundle,
            refused=(refusal,) * 100,
            standing_errors=("some-problem",) * 50,
            workers=(worker,) * (2 * MOST_WORKERS),
        )
    )


def test_the_largest_status_is_read_by_whoever_asks_for_it() -> None:
    status = largest_status()
    (answer,) = read_by_a_worker(encode({"ok": True, **status}))
    assert answer == {"ok": True, **status}
    assert len(answer["workers"]) == MOST_WORKERS


def test_the_largest_refusal_is_read_as_one() -> None:
    with pytest.raises(credagent_worker.AgentRefused) as caught:
        read_by_a_worker(encode_refusal(Refused("denied-variable", LONG, what=LONG, hint=LONG)))
    assert caught.value.code == "denied-variable"


name = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF), min_size=1, max_size=256)


@settings(max_examples=25)
@given(
    names=st.lists(name, max_size=30, unique=True),
    times=st.integers(1, 400),
    scrubbed=st.floats(0, 1),
    environment=st.dictionaries(name, st.text(max_size=1_000), max_size=20),
)
def test_a_set_is_read_whole_however_much_is_taken_back(
    names: list[str], times: int, scrubbed: float, environment: dict[str, str]
) -> None:
    overwrite = {f"{one}{number}": "credagent: withdrawn" for one in names for number in range(times)}
    every = list(overwrite)
    scrub = [*every[: int(len(every) * scrubbed)], "SCRUBBED_ONLY"]
    document = {
        "ok": True,
        "event": "set",
        "generation": 7,
        "settled": True,
        "environment": environment,
        "overwrite": overwrite,
        "scrub": scrub,
        "slots": EMPTY_SLOTS,
    }
    lines = set_lines(document)
    assert max(map(len, lines)) <= ANSWER_BYTES
    assert ["more" in json.loads(line) for line in lines] == [True] * (len(lines) - 1) + [False]
    united = _in_exec(b"".join(lines))
    assert (united["environment"], united["overwrite"]) == (environment, overwrite)
    assert sorted(united["scrub"]) == sorted(scrub)
    assert len(read_by_a_worker(b"".join(lines), many=len(lines))) == len(lines)


def _in_exec(lines: bytes) -> dict[str, Any]:
    """Return the set that `exec` reads of `lines`."""
    ours, theirs = socket.socketpair()
    sending = threading.Thread(target=theirs.sendall, args=(lines,))
    sending.start()
    subscription = AgentSubscription.__new__(AgentSubscription)
    subscription.path, subscription._buffer, subscription._parts = os.devnull, b"", []
    subscription._connection, subscription._retry_at = ours, None
    ours.settimeout(0)
    found = subscription.wait(30)
    sending.join()
    theirs.close()
    subscription.close()
    assert found is not None
    return found
