"""Every credential that was issued, under an id of its own, and every call that was made with one.

The ids (`imds-1`, `assume-role-3`) are what tests and the demo speak of; the calls name them and never hold a secret.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

SESSION_TOKEN_BYTES = 300
"""Makes session tokens of 400 characters, about what STS hands out."""
CALLS_KEPT = 200_000
"""A soak makes tens of thousands; beyond this the oldest are forgotten."""


@dataclass(frozen=True)
class Issued:
    """A credential. AWS ones have a key id and a secret; the sessions among them, and Google's, have a token."""

    id: str
    kind: str
    principal: str
    issued_at: float
    expires_at: float | None
    key_id: str = ""
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    user_id: str = ""
    source: str | None = None
    revoked: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def public(self) -> dict[str, Any]:
        """Without secret and token."""
        return {name: value for name, value in asdict(self).items() if name not in ("secret", "token")}


@dataclass
class Call:
    """One request. Mutable until it is answered: a face fills in what it learns."""

    service: str
    operation: str
    method: str
    path: str
    at: float
    seq: int = 0
    credential: str | None = None
    principal: str | None = None
    status: int = 0
    code: str = "ok"
    issued: str | None = None
    agent: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """Issued credentials and calls; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._issued: dict[str, Issued] = {}
        self._by_key_id: dict[str, str] = {}
        self._by_token: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._calls: list[Call] = []
        self._seq = 0

    def issue_aws(self, kind: str, principal: str, *, now: float, lifetime_s: float | None, **more: Any) -> Issued:
        """A session where there is a lifetime, else a long-term key."""
        session = lifetime_s is not None
        return self._enter(
            Issued(
                id=self._next_id(kind),
                kind=kind,
                principal=principal,
                issued_at=now,
                expires_at=None if lifetime_s is None else now + lifetime_s,
                key_id=("ASIA" if session else "AKIA") + _random_key_id(),
                secret=base64.b64encode(secrets.token_bytes(30)).decode(),
                token=_random_session_token() if session else "",
                **more,
            )
        )

    def issue_bearer(self, kind: str, principal: str, *, now: float, lifetime_s: float | None, **more: Any) -> Issued:
        """A Google access token, or without a lifetime a refresh token."""
        prefix = "1//0" if lifetime_s is None else "ya29.c."
        return self._enter(
            Issued(
                id=self._next_id(kind),
                kind=kind,
                principal=principal,
                issued_at=now,
                expires_at=None if lifetime_s is None else now + lifetime_s,
                token=prefix + secrets.token_urlsafe(60 if lifetime_s is None else 180),
                **more,
            )
        )

    def _next_id(self, kind: str) -> str:
        with self._lock:
            self._counts[kind] += 1
            return f"{kind}-{self._counts[kind]}"

    def _enter(self, issued: Issued) -> Issued:
        with self._lock:
            self._issued[issued.id] = issued
            if issued.key_id:
                self._by_key_id[issued.key_id] = issued.id
            if issued.token:
                self._by_token[_digest(issued.token)] = issued.id
        return issued

    def get(self, credential: str) -> Issued | None:
        """By its id, its access key id or its token."""
        with self._lock:
            found = self._by_key_id.get(credential) or self._by_token.get(_digest(credential)) or credential
            return self._issued.get(found)

    def revoke(self, credential: str) -> Issued:
        """Raises KeyError where there is none."""
        with self._lock:
            issued = self.get(credential)
            if issued is None:
                raise KeyError(credential)
            self._issued[issued.id] = replace(issued, revoked=True)
            return self._issued[issued.id]

    def issued(self) -> list[Issued]:
        with self._lock:
            return list(self._issued.values())

    def record(self, call: Call) -> None:
        with self._lock:
            self._seq += 1
            call.seq = self._seq
            self._calls.append(call)
            if len(self._calls) > CALLS_KEPT:
                del self._calls[: CALLS_KEPT // 10]

    def calls(self, *, service: str | None = None, operation: str | None = None, since: int = 0) -> list[Call]:
        """In the order in which they were answered; `since` leaves out those up to that sequence number."""
        with self._lock:
            return [
                call
                for call in self._calls
                if call.seq > since
                and (service is None or call.service == service)
                and (operation is None or call.operation == operation)
            ]

    def forget_calls(self) -> None:
        with self._lock:
            self._calls.clear()


def _random_key_id() -> str:
    return base64.b32encode(secrets.token_bytes(10)).decode()


def _random_session_token() -> str:
    return "IQoJ" + base64.b64encode(secrets.token_bytes(SESSION_TOKEN_BYTES)).decode()[4:]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
