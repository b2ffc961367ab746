"""The documents of the vendors' protocols, byte for byte as in tests/golden, and what they cannot carry."""

import json
from datetime import timedelta

from credagent.worker_environment import vendor_documents
from tests.unit.worker_environment.rendered import EXPIRES_AT, LONG_TERM, NOW, SESSION, TOKEN, golden, held


def test_the_vendors_documents_are_the_golden_ones() -> None:
    golden("session.container.json", vendor_documents.container_json(held(SESSION)) or b"")
    golden("session.credential-process.json", json.dumps(vendor_documents.credential_process(held(SESSION))).encode())
    golden(
        "long-term.credential-process.json", json.dumps(vendor_documents.credential_process(held(LONG_TERM))).encode()
    )
    golden("token.google.json", vendor_documents.google_token(TOKEN, NOW))


def test_a_long_term_key_is_no_container_credential() -> None:
    assert vendor_documents.container_json(held(LONG_TERM)) is None
    assert vendor_documents.container_json(held(TOKEN)) is None
    assert vendor_documents.credential_process(held(TOKEN)) is None


def test_the_end_of_the_bundle_bounds_what_ends_later() -> None:
    bounded = held(SESSION, expires_at=EXPIRES_AT - timedelta(minutes=30))
    document = vendor_documents.credential_process(bounded)
    assert document is not None
    assert document["Expiration"] == "2026-11-22T12:30:00Z"


def test_an_expired_google_token_has_no_time_left_rather_than_less_than_none() -> None:
    assert json.loads(vendor_documents.google_token(TOKEN, EXPIRES_AT + timedelta(hours=1)))["expires_in"] == 0
