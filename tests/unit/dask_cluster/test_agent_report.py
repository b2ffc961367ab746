"""Anybody on the network may report; what does not fit is nobody, and what is shown is printable."""

from typing import Any

import pytest

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.dask_cluster.agent_report import AgentReport, parse

KEY = RecipientPrivateKey.generate().public_key


def test_a_report_is_read() -> None:
    said = {
        "credagent": 1,
        "address": "tcp://liar:1",
        "host": "node-1",
        "public_key": KEY.line,
        "audience": "lab",
        "sender": "ab",
    }
    found = parse(said, "tcp://10.0.0.1:1")
    assert found == AgentReport(address="tcp://10.0.0.1:1", host="node-1", key=KEY, audience="lab", sender="ab")
    assert found is not None
    assert found.recipient == KEY.line


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        7,
        "yes",
        [],
        {},
        {"credagent": 2, "address": "x"},
        {"credagent": 1},
        {"credagent": 1, "address": ["x"]},
        {"credagent": 1, "address": "x", "public_key": 7},
        {"credagent": 1, "address": "x", "public_key": "credagent-recipient:x-wing:AAAA"},
    ],
)
def test_rubbish_is_nobody(rubbish: Any) -> None:
    assert parse(rubbish) is None


def test_odd_fields_are_left_out_and_texts_are_bounded_and_printable() -> None:
    said = {
        "credagent": 1,
        "address": "x",
        "host": "\x1b[2Jevil" + "y" * 9000,
        "forwarder": -1,
        "audience": ["no"],
        "nonce": 5,
    }
    found = parse(said)
    assert found is not None
    assert found.host.startswith("[2Jevily")
    assert len(found.host) <= 512
    assert (found.forwarder, found.audience, found.nonce) == ("", "", "")


def test_a_machine_without_a_key_of_its_own_is_told_by_its_boot() -> None:
    found = parse({"credagent": 1, "address": "x", "host": "h", "boot": "b1"})
    assert found is not None
    assert found.recipient == "boot:b1:h"
