"""What a worker or the scheduler says of its machine's agent, read from values that anybody on the network may send.

Parsed once, here: what does not fit is None, and the address it came from counts as one that answered rubbish.
"""

from collections.abc import Mapping
from typing import TypeGuard

from msgspec import Struct

from credagent.attestation.proof import MAX_CHARACTERS
from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.errors import ConfigurationError

SCHEDULER = "scheduler"
TEXT_CHARACTERS = 512  # of any text but the key; it is shown to people
KEY_CHARACTERS = 4_096
_TEXTS = (
    *("audience", "fault", "hint", "sender", "bundle_id", "state", "trouble"),
    *("attestation_fault", "attestation_hint"),
    *("nonce", "outcome", "boot", "forwarder", "forwarder_sender", "forwarder_ended"),
)


class AgentReport(Struct, frozen=True, kw_only=True):
    """What one process says of the agent on its machine.

    `fault` is a code where there is no agent to speak with (`no-agent`, `not-allowed`, …); else `key` is the public
    key that this machine opens bundles with, None where a KMS holds it. `sender` and `bundle_id` describe the bundle
    in force, `state` and `trouble` (codes, separated by commas) how the agent does. `nonce` names the mailbox in which
    a process waits for its first bundle; `outcome` is what became of one that was handed over. `forwarder` is the name,
    and `forwarder_sender` the key id, of the forwarder that installed the plugin last; `forwarder_ended` is empty while
    that one is at work, else it says how it ended.
    `attestation` is what a cloud says of `key`, unproved; `attestation_fault` is a code where there is none.
    `trusts_identities`: it takes the sender's attestation beside a bundle.
    """

    address: str
    host: str
    key: RecipientPublicKey | None = None
    audience: str = ""
    fault: str = ""
    hint: str = ""
    sender: str = ""
    bundle_id: str = ""
    state: str = ""
    trouble: str = ""
    nonce: str = ""
    outcome: str = ""
    boot: str = ""
    forwarder: str = ""
    forwarder_sender: str = ""
    forwarder_ended: str = ""
    attestation: str = ""
    trusts_identities: bool = False
    attestation_fault: str = ""
    attestation_hint: str = ""

    @property
    def recipient(self) -> str:
        """Return what is sealed to: the machine's key, or its boot where it has none of its own."""
        return self.key.line if self.key is not None else f"boot:{self.boot}:{self.host}"

    @property
    def machine(self) -> str:
        """Return what tells this machine from others: its recipient, and from where that is claimed.

        Anybody may claim a key that he has heard, and then answer in place of the machine that has it.
        """
        return f"{self.recipient} {self.address.rpartition(':')[0] or self.address}"


def parse(value: object, address: str = "") -> AgentReport | None:
    """Return the report in `value`, None for rubbish. `address` is where it came from, if the scheduler vouches."""
    if not isinstance(value, Mapping) or value.get("credagent") != 1:
        return None
    address = address or _text(value, "address")
    line = value.get("public_key")
    if not address or not isinstance(line, str | None):
        return None
    try:
        key = RecipientPublicKey.parse(line) if line and len(line) <= KEY_CHARACTERS else None
    except ConfigurationError:
        return None
    return AgentReport(
        address=address,
        host=_text(value, "host") or address,
        key=key,
        trusts_identities=value.get("trusts_identities") is True,
        attestation=_attestation(value.get("attestation")),
        **{name: _text(value, name) for name in _TEXTS},
    )


def is_address(value: object) -> TypeGuard[str]:
    """Tell whether this may be an address: it is shown to people, as every text here."""
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS and value.isprintable()


def _attestation(found: object) -> str:
    """Return an attestation's text; of one that is too long, or could not be one, nothing."""
    possible = isinstance(found, str) and len(found) <= MAX_CHARACTERS and found.isascii() and found.isprintable()
    return str(found) if possible else ""


def _text(value: Mapping[object, object], name: str) -> str:
    """Return printable text of bounded length: it is shown on a terminal, where control characters are commands."""
    found = value.get(name)
    if not isinstance(found, str):
        return ""
    return "".join(character for character in found[:TEXT_CHARACTERS] if character.isprintable())
