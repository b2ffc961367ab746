"""One forwarder ends another only with a signature, and only by its name."""

from typing import Any

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder import takeover

MINE, OTHERS = SenderPrivateKey.generate(), SenderPrivateKey.generate()
ME, HIM = "credagent-forward-laptop-1-aa", "credagent-forward-laptop-2-bb"


def word(message: object) -> str:
    return takeover.judge(message, ME, MINE.public_key)[0]


def test_whoever_has_the_same_key_and_names_it_takes_over() -> None:
    assert word(takeover.announce(MINE, HIM, "ada@laptop", [ME])) == "yield"
    said = takeover.read(takeover.announce(MINE, HIM, "ada@laptop", [ME]))
    assert said is not None
    assert said.author == f"ada@laptop, sender {MINE.key_id}"


def test_another_key_makes_a_rival_whom_the_machines_judge() -> None:
    assert word(takeover.announce(OTHERS, HIM, "eve@laptop", [ME])) == "rival"


def test_an_announcement_of_an_earlier_day_ends_nobody() -> None:
    assert word(takeover.announce(MINE, HIM, "ada@laptop", ["credagent-forward-laptop-1-cc"])) == "nothing"
    assert word(takeover.announce(MINE, ME, "ada@laptop", [])) == "nothing"


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ""},
        {"signature": "A" * 86},
        {"signature": None},
        {"replaces": [ME, "x"]},
        {"replaces": [7]},
        {"replaces": "all"},
        {"replaces": [ME] * (takeover.REPLACED_AT_MOST + 1)},
        {"client": "somebody"},
        {"client": ME},
        {"who": "\x1b[2J"},
        {"who": "somebody else"},
        {"sender": OTHERS.public_key.line},
        {"sender": "credagent-sender:ed25519:AA"},
    ],
)
def test_what_nobody_has_signed_is_forged(change: dict[str, Any]) -> None:
    assert word({**takeover.announce(MINE, HIM, "ada@laptop", [ME]), **change}) == "forged"


@pytest.mark.parametrize("message", [None, 7, "x", [], {}, {"client": HIM, "who": "eve", "sender": "x"}])
def test_rubbish_is_forged(message: object) -> None:
    assert word(message) == "forged"


def test_ones_own_key_and_the_newest_come_first_among_those_to_replace() -> None:
    names = [f"{takeover.CLIENT_PREFIX}{number}" for number in range(4)]
    keys = [MINE, OTHERS, MINE, OTHERS]
    history: list[object] = [takeover.announce(key, name, "x", []) for key, name in zip(keys, names, strict=True)]
    found = takeover.to_replace([*history, {"client": "rubbish"}], MINE.public_key)
    assert [said.client for said in found] == [names[2], names[0], names[3], names[1]]
