"""Credential sets and requests for the tests of both HTTP faces."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from credagent.credentials import (
    AwsCredentials,
    CredentialSet,
    Empty,
    GoogleToken,
    Held,
    Origin,
    SlotContent,
)
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse
from credagent.secret import Secret

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def aws(expires_in: timedelta | None = HOUR, *, bundle_ends_in: timedelta | None = None, **more: Any) -> Held:
    ends = None if expires_in is None else NOW + expires_in
    fields: dict[str, Any] = {
        "access_key_id": "ASIAEXAMPLE",
        "secret_access_key": Secret("secret"),
        "session_token": Secret("session"),
        "expires_at": ends,
    }
    bound = ends if bundle_ends_in is None else NOW + bundle_ends_in
    credentials = AwsCredentials(**(fields | more))
    return Held(credentials=credentials, origin=Origin.BUNDLE, obtained_at=NOW, expires_at=bound)


def google(expires_in: timedelta = HOUR, *, bundle_ends_in: timedelta | None = None, **more: Any) -> Held:
    fields: dict[str, Any] = {
        "access_token": Secret("ya29.token"),
        "email": "data@project.iam.gserviceaccount.com",
        "project": "project",
        "scopes": ("scope-one", "scope-two"),
    }
    credentials = GoogleToken(expires_at=NOW + expires_in, **(fields | more))
    bound = NOW + (expires_in if bundle_ends_in is None else bundle_ends_in)
    return Held(credentials=credentials, origin=Origin.GOOGLE_METADATA, obtained_at=NOW, expires_at=bound)


def holding(generation: int = 1, **slots: SlotContent) -> CredentialSet:
    return CredentialSet(generation=generation, **slots)


def request(target: str, method: str = "GET", **headers: str) -> HttpRequest:
    path, _, query = target.partition("?")
    named = {name.replace("_", "-").lower().encode(): value.encode() for name, value in headers.items()}
    return HttpRequest(method.encode(), path, query, named, last=False)


def body(answer: HttpResponse) -> bytes:
    return answer.payload.partition(b"\r\n\r\n")[2]


def decoded(answer: HttpResponse) -> Any:
    return json.loads(body(answer))


UNUSABLE: list[tuple[SlotContent, int, str]] = [
    (Empty(), 404, "no-credentials"),
    (Empty(may_fall_back=False), 503, "no-credentials"),
    (Empty(may_fall_back=False, withdrawn=True), 404, "withdrawn"),
    (aws(timedelta(0)), 503, "expired"),
    (aws(HOUR, bundle_ends_in=timedelta(0)), 503, "expired"),
    (aws(session_token=None), 503, "long-term"),
    (aws(secret_access_key=Secret("")), 503, "long-term"),
]
"""Contents of which neither AWS interface serves credentials, with the status and the outcome of their answer."""
