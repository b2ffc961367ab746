"""The documents of the vendors' protocols, byte for byte as in tests/golden, and what they cannot carry."""

import json
from datetime import timedelta

from credagent.rules import documents
from tests.unit.rules.rendered import EXPIRES_AT, LONG_TERM, NOW, SESSION, TOKEN, golden, held


def test_the_vendors_documents_are_the_golden_ones() -> None:
    golden("session.container.json", documents.container_json(held(SESSION)) or b"")
    golden("session.credential-process.json", json.dumps(documents.credential_process(held(SESSION))).encode())
    golden("long-term.credential-process.json", json.dumps(documents.credential_process(held(LONG_TERM))).encode())
    golden("token.google.json", documents.google_token(TOKEN, NOW))


def test_a_long_term_key_is_no_container_credential() -> None:
    assert documents.container_json(held(LONG_TERM)) is None
    assert documents.container_json(held(TOKEN)) is None
    assert documents.credential_process(held(TOKEN)) is None


def test_the_end_of_the_bundle_bounds_what_ends_later() -> None:
    bounded = held(SESSION, expires_at=EXPIRES_AT - timedelta(minutes=30))
    document = documents.credential_process(bounded)
    assert document is not None
    assert document["Expiration"] == "2026-11-22T12:30:00Z"


def test_an_expired_google_token_has_no_time_left_rather_than_less_than_none() -> None:
    assert json.loads(documents.google_token(TOKEN, EXPIRES_AT + timedelta(hours=1)))["expires_in"] == 0
