"""The published vectors, read by the package and, for the bindings, by what FORMAT.md says."""

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

import credagent.attestation
from credagent.attestation import proof
from credagent.attestation.proof import AwsProof
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.cloud_helper.attestation.aws_verification import read_answer
from credagent.cloud_helper.http.https_client import HttpsResponse
from credagent.errors import Refused

VECTORS: dict[str, Any] = json.loads(
    (Path(credagent.attestation.__file__).parent / "vectors" / "proofs.json").read_text()
)
NOW = datetime.fromisoformat(VECTORS["now"])


@pytest.mark.parametrize("vector", VECTORS["bindings"], ids=lambda vector: vector["audience"])
def test_a_binding_is_made_as_the_page_says(vector: dict[str, Any]) -> None:
    key, audience = vector["key"].encode(), vector["audience"].encode()
    whole = b"credagent-attestation:1 binding\0" + bytes([vector["purpose"]])
    for part in (key, audience):
        whole += len(part).to_bytes(2, "big") + part
    digest = hashlib.sha256(whole + vector["sequence"].to_bytes(8, "big")).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == vector["binding"]
    statement = KeyStatement(
        purpose=Purpose(vector["purpose"]),
        key_line=vector["key"],
        audience=vector["audience"],
        sequence=vector["sequence"],
    )
    assert statement.binding == vector["binding"]


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["parts"]["type"])
def test_a_good_text_is_read(vector: dict[str, Any]) -> None:
    found = proof.parse(vector["text"])
    assert to_builtins(found) == vector["parts"]
    assert found.text == vector["text"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["description"])
def test_a_bad_text_is_refused_for_its_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as raised:
        demand_good(vector["text"])
    assert raised.value.code == vector["code"]


def demand_good(text: str) -> None:
    found = proof.parse(text)
    assert isinstance(found, AwsProof)
    proof.demand_fresh(proof.signing_time(found), NOW)


@pytest.mark.parametrize("vector", VECTORS["answers"], ids=lambda vector: vector.get("code", "good"))
def test_an_answer_of_sts_is_read_or_refused(vector: dict[str, Any]) -> None:
    headers = {"Content-Type": vector["media_type"]}
    response = HttpsResponse(status=vector["status"], headers=headers, body=vector["body"].encode())
    if "identity" in vector:
        assert to_builtins(read_answer(response, vector["partition"], now=NOW)) == vector["identity"]
        return
    with pytest.raises(Refused) as raised:
        read_answer(response, vector["partition"], now=NOW)
    assert raised.value.code == vector["code"]
