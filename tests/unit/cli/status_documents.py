"""Status documents for tests of what is shown: an ordinary machine, and what a test wants to be otherwise."""

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 30, 19, 48, 0, tzinfo=UTC)
ANA = "arn:aws:iam::123456789012:user/ana"
NODE = "arn:aws:sts::123456789012:assumed-role/node/i-1"
KEY_ID = "8f79def191ea3bf97a79de1b10fe8686"
GRANTED = (
    "workers get what the bundle grants",
    "a grant wins over this machine's own identity",
    "the bundle in force grants it",
)


def slot(origin: str = "none", **others: Any) -> dict[str, Any]:
    fields = {
        "statement": "granted" if origin == "bundle" else None,
        "principal": None,
        "expires_at": None,
        "obtained_at": None,
        "renew_at": None,
        "renewable": False,
        "required": False,
        "handover": "environment",
        "fallback": "absent",
        "falls_back_to": "nothing",
        "because": list(GRANTED) if origin == "bundle" else [],
        "lost": False,
        "life_passed": 0.0,
        "last_error": None,
    }
    return {"origin": origin, **fields, **others}


def error(code: str, message: str, hint: str = "", failures: int = 1) -> dict[str, Any]:
    return {"code": code, "message": message, "hint": hint, "at": "2026-11-30T19:45:00Z", "failures": failures}


def refusal(code: str, message: str = "", hint: str = "", at: str = "2026-11-30T19:47:00Z") -> dict[str, Any]:
    return {"code": code, "at": at, "channel": "file", "message": message, "hint": hint}


def bundle(bundle_id: str | None = "673eee4f", **others: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "sender": KEY_ID,
        "sender_name": "ana@laptop",
        "sequence": 7,
        "issued_at": "2026-11-30T19:40:00Z",
        "not_after": "2026-12-30T19:40:00Z",
        "channel": "file",
        "refused": [],
    }
    if bundle_id is None:
        fields = {**dict.fromkeys(fields), "refused": []}
    return {"bundle_id": bundle_id, **fields, **others}


def worker(
    pid: int, generation: int | None = 4, role: str = "worker", since: str = "2026-11-30T19:38:00Z"
) -> dict[str, Any]:
    return {"pid": pid, "uid": 1000, "role": role, "generation": generation, "since": since}


def status(state: str = "ready", **others: Any) -> dict[str, Any]:
    """Return a document; `aws`, `google` and `environment` are slots, everything else its own fields."""
    slots = {name: others.pop(name, slot()) for name in ("aws", "google", "environment")}
    slots["environment"].setdefault("names", [])
    fields = {
        "version": 1,
        "generation": 4,
        "audience": "lab",
        "since": "2026-11-30T17:43:00Z",
        "state_since": "2026-11-30T19:36:00Z",
        "public_key": "credagent-recipient:x25519:AAAA",
        "key_id": "4aa2275fc00bfd5b7a79de1b10fe8686",
        "bundle": bundle(),
        "problems": [],
        "workers": [],
        "refused_callers": [],
        "agent": {"version": "0.1.0", "pid": 881, "uptime_s": 7500.0, "uss_bytes": 28_400_000, "rss_bytes": None},
    }
    return {**fields, "state": state, "slots": slots, **others}
