"""Every published vector, read by this package and by a second implementation that knows FORMAT.md alone."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credagent.admission import denied_variables, rules
from credagent.bundle import canonical_json, envelope, opening, signature
from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPublicKey
from credagent.bundle.kms_reference import parse_kms_reference
from credagent.bundle.refusal_codes import RefusalCode
from credagent.errors import NotForThisMachine, Refused
from credagent.secret import Secret
from tests.unit.bundle.published.__main__ import BAD, VECTORS, written
from tests.unit.bundle.published.good import GOOD
from tests.unit.bundle.second_judge import DENIED, judge
from tests.unit.bundle.second_reader import Fails

FILES = sorted(VECTORS.rglob("*.json"))
FORMAT = VECTORS.parent / "FORMAT.md"


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


class HeldElsewhere:
    """The key of a vector's `machine.kms`."""

    def __init__(self, said: dict[str, Any]) -> None:
        reference = parse_kms_reference(said["reference"])
        self.kind, self.recipient_id, self._said = reference.kind, reference.recipient_id, said

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        assert body.hex() == self._said["body"]
        if self.kind is StanzaKind.AWS_KMS:
            assert context.encryption_context == self._said["encryption_context"]
        else:
            assert context.info.hex() == self._said["associated_data"]
        return bytes.fromhex(self._said["content_key"])


def _read(vector: dict[str, Any]) -> tuple[rules.Standing, rules.AdmissionResult]:
    """Return what this package makes of a vector, and what the bundle is to the machine."""
    machine = vector["machine"]
    policy = rules.AdmissionPolicy(
        audience=machine["audience"],
        trusted_senders=frozenset(SenderPublicKey.parse(line).raw for line in machine["trusted_senders"]),
        max_age=timedelta(seconds=machine["max_age_s"]),
        admit_long_term=machine["admit_long_term"],
        admit_refresh_token=machine["admit_refresh_token"],
        allow=tuple(machine["allow"]),
    )
    parsed = envelope.parse(vector["text"])
    signature.verify_signature(parsed)
    if vector["reading"] == "restart":
        rules.before_reopening(parsed, policy)
        standing = rules.Standing.AGAIN
    else:
        marks = {key: rules.ReplayMark(**mark) for key, mark in machine["marks"].items()}
        now = datetime.fromisoformat(vector["now"])
        standing = rules.before_opening(parsed, policy, marks, _in_force(machine["in_force"]), now)
    keys = [RecipientPrivateKey.parse(Secret(line)) for line in machine["recipient_keys"]]
    bundle = opening.open_envelope(parsed, [*keys, *map(HeldElsewhere, machine["kms"])])
    return standing, rules.after_opening(parsed, bundle, policy, own_key=machine["keys_are_own"])


def _in_force(said: dict[str, Any] | None) -> rules.InForce | None:
    if said is None:
        return None
    sender = SenderPublicKey.parse(said["sender"]).raw
    issued_at = datetime.fromisoformat(said["issued_at"])
    return rules.InForce(sender=sender, issued_at=issued_at, digest=said["digest"])


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_vector_is_read_as_it_says(path: Path) -> None:
    vector = json.loads(path.read_text())
    expect = vector["expect"]
    if expect["outcome"] == "refused":
        with pytest.raises(Refused) as refused:
            _read(vector)
        assert refused.value.code == expect["code"]
        assert refused.value.hint
        assert isinstance(refused.value, NotForThisMachine) == (expect["code"] == "not-for-this-machine")
    else:
        standing, admitted = _read(vector)
        assert standing.value == expect["outcome"]
        assert admitted.mark.digest == expect["digest"]
        assert json.loads(canonical_json.encode(admitted.bundle)) == expect["plaintext"]


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_second_implementation_reads_it_alike(path: Path) -> None:
    vector = json.loads(path.read_text())
    expect = vector["expect"]
    if expect["outcome"] == "refused":
        with pytest.raises(Fails) as failed:
            judge(vector)
        assert (failed.value.code, failed.value.step) == (expect["code"], expect["step"])
    else:
        assert judge(vector) == (expect["outcome"], expect["digest"], expect["plaintext"])


def test_no_vector_is_missing_and_none_is_left_over() -> None:
    assert {_name(path) for path in FILES} == {f"good/{name}" for name in GOOD} | {f"bad/{name}" for name in BAD}


def test_every_class_of_failure_has_a_vector() -> None:
    codes = {json.loads(path.read_text())["expect"].get("code") for path in FILES}
    assert codes - {None} == {failure.value for failure in RefusalCode}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_is_what_its_recipe_makes_but_for_chance(path: Path) -> None:
    made = written({**GOOD, **BAD}[path.stem]())
    kept = json.loads(path.read_text())
    for chance in ("text", "digest"):
        _forget(made, chance)
        _forget(kept, chance)
    assert made == kept


def _forget(value: Any, name: str) -> None:
    if isinstance(value, dict):
        value.pop(name, None)
        for item in value.values():
            _forget(item, name)


def test_the_page_lists_the_classes_of_failure_in_their_order() -> None:
    table = FORMAT.read_text().split("## 7.")[1].split("## 8.")[0]
    assert re.findall(r"^\|[^|]*\| `([a-z-]+)` \|", table, re.MULTILINE) == [failure.value for failure in RefusalCode]


def test_the_page_lists_the_denied_variables() -> None:
    assert tuple(DENIED) == denied_variables.DENY_LIST
