"""Who forwards to a cluster: announcements that a forwarder signs, and which of them ends another. No I/O.

Every task may log an event, so nothing here believes one for its text. See ADR-01 for when a forwarder yields.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from credagent.bundle import base64url
from credagent.bundle.key_pairs import SenderPrivateKey, SenderPublicKey
from credagent.dask_cluster.agent_report import is_address as is_text
from credagent.errors import ConfigurationError

DOMAIN = b"credagent-forwarder:1\x00"
CLIENT_PREFIX = "credagent-forward-"
REPLACED_AT_MOST = 32
HISTORY = 1_000  # entries that are looked at; each costs a signature's check

Word = Literal["nothing", "yield", "rival", "forged"]


class Announcement(Struct, frozen=True, kw_only=True):
    """One forwarder's word, whose signature by `key` was checked. `replaces`: whose work it takes over, by name."""

    client: str
    who: str
    key: SenderPublicKey
    replaces: tuple[str, ...]

    @property
    def author(self) -> str:
        """Return who that is, for people."""
        return f"{self.who}, sender {self.key.key_id}"


def announce(key: SenderPrivateKey, client: str, who: str, replaces: Iterable[str]) -> dict[str, object]:
    """Return a signed announcement as plain values."""
    names = tuple(dict.fromkeys(replaces))[:REPLACED_AT_MOST]
    signature = base64url.encode(key.sign(_signed(client, who, names)))
    said = {"client": client, "who": who, "sender": key.public_key.line, "replaces": list(names)}
    return {**said, "signature": signature}


def read(message: object) -> Announcement | None:
    """Return the announcement in what anybody may have sent; None where nothing proves who says it."""
    if not isinstance(message, dict):
        return None
    client, who, replaces = message.get("client"), message.get("who"), message.get("replaces")
    line, signature = message.get("sender"), message.get("signature")
    if not is_text(client) or not is_text(who) or not isinstance(line, str) or not isinstance(signature, str):
        return None
    if not isinstance(replaces, list) or len(replaces) > REPLACED_AT_MOST or not all(map(is_text, replaces)):
        return None
    try:
        key, raw = SenderPublicKey.parse(line), base64url.decode(signature)
    except (ValueError, ConfigurationError):
        return None
    if not client.startswith(CLIENT_PREFIX) or not key.verifies(raw, _signed(client, who, tuple(replaces))):
        return None
    return Announcement(client=client, who=who, key=key, replaces=tuple(replaces))


def judge(message: object, client: str, key: SenderPublicKey) -> tuple[Word, Announcement | None]:
    """Say what a forwarder called `client` that signs with `key` makes of a message.

    `yield`: whoever holds the same key names it. `rival`: another key does, and machines will show whether they trust
    that one. A name has random parts and is nobody's twice, so that an announcement of last week ends nobody today.
    """
    said = read(message)
    if said is None:
        return "forged", None
    if said.client == client or client not in said.replaces:
        return "nothing", said
    return ("yield" if said.key == key else "rival"), said


def to_replace(history: Iterable[object], key: SenderPublicKey) -> list[Announcement]:
    """Return who has announced, the newest first, and of one's own key before others."""
    newest_first = reversed(list(history)[-HISTORY:])
    found = [said for said in map(read, newest_first) if said is not None]
    return sorted(found, key=lambda said: said.key != key)


def _signed(client: str, who: str, replaces: tuple[str, ...]) -> bytes:
    return DOMAIN + msgspec.json.encode((client, who, replaces))
