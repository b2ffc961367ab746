"""Names of keys that a cloud holds: `aws-kms:ARN` and `gcp-kms:NAME`. Nothing here asks a cloud."""

from collections.abc import Mapping

from msgspec import Struct

from credagent.bundle.content_key_wrapping import StanzaKind
from credagent.bundle.key_pairs import identifier
from credagent.errors import ConfigurationError

_KINDS: Mapping[str, StanzaKind] = {"aws-kms": StanzaKind.AWS_KMS, "gcp-kms": StanzaKind.GCP_KMS}
MAX_REFERENCE_BYTES = 2048  # the longest ARN AWS has


class KmsReference(Struct, frozen=True):
    """A key in AWS KMS or Google KMS. Sender and machine must write it alike: its id is made of its text."""

    kind: StanzaKind
    name: str

    @property
    def text(self) -> str:
        """Return the reference as it is written."""
        scheme = "aws-kms" if self.kind is StanzaKind.AWS_KMS else "gcp-kms"
        return f"{scheme}:{self.name}"

    @property
    def recipient_id(self) -> bytes:
        """Return the name of this key in a stanza."""
        return identifier(self.text.encode())

    @property
    def key_id(self) -> str:
        """Return the name of this key for people."""
        return self.recipient_id.hex()


def is_kms_reference(text: str) -> bool:
    """Say whether `text` is meant to be one."""
    return text.partition(":")[0] in _KINDS


def parse_kms_reference(text: str) -> KmsReference:
    """Return the reference, or raise ConfigurationError."""
    scheme, _, name = text.strip().partition(":")
    printable = name.isascii() and name.isprintable() and " " not in name
    if scheme not in _KINDS or not name or not printable or len(text) > MAX_REFERENCE_BYTES:
        hint = "write aws-kms:ARN or gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K"
        raise ConfigurationError("wrong-key", "it is neither aws-kms:ARN nor gcp-kms:NAME", what="not a key", hint=hint)
    return KmsReference(_KINDS[scheme], name)
