"""PUB, as people write it, becomes something that a content key can be wrapped for. No policy, no trust."""

import base64
from collections.abc import Mapping

from msgspec import Struct

from credagent.bundle.content_key_wrapping import KeyWrapper, StanzaKind, WrapContext
from credagent.bundle.key_pairs import RECIPIENT_LINE_PREFIX, RecipientPublicKey
from credagent.bundle.kms_reference import KmsReference, is_kms_reference, parse_kms_reference
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import KmsEncrypt
from credagent.errors import ConfigurationError
from credagent.secret import Secret
from credagent.system.file_reading import read_trusted

FILE_BYTES = 16 * 1024  # one line of 1.7 KiB, and room for somebody's comment
KMS_DEADLINE_S = 30.0


class KmsRecipient(Struct, frozen=True):
    """A key that AWS KMS or Google KMS holds (a KeyWrapper): wrapping asks the service, with the sender's identity."""

    reference: KmsReference

    @property
    def kind(self) -> StanzaKind:
        """Return the kind of its stanzas."""
        return self.reference.kind

    @property
    def recipient_id(self) -> bytes:
        """Return the name of this key in a stanza."""
        return self.reference.recipient_id

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        """Return the content key as the service closed it. Raises Unavailable."""
        request = KmsEncrypt(
            key=self.reference.text,
            plaintext_base64=Secret(base64.b64encode(content_key).decode()),
            context=context.encryption_context,
            associated_data=context.info,
        )
        return call_blocking(request, deadline_s=KMS_DEADLINE_S).ciphertext


Recipient = RecipientPublicKey | KmsRecipient


def read(text: str) -> Recipient:
    """Return the recipient that `text` names. Raises ConfigurationError, or PermissionRefused for a file's mode."""
    if is_kms_reference(text):
        return KmsRecipient(parse_kms_reference(text))
    if text.startswith(RECIPIENT_LINE_PREFIX):
        return RecipientPublicKey.parse(text)
    return _from_file(text)


def read_all(texts: tuple[str, ...]) -> tuple[Recipient, ...]:
    """Return each recipient once, in the order given."""
    found: Mapping[bytes, Recipient] = {recipient.recipient_id: recipient for recipient in map(read, texts)}
    return tuple(found.values())


def name(recipient: KeyWrapper) -> str:
    """Return what people call this recipient."""
    if isinstance(recipient, KmsRecipient):
        return recipient.reference.text
    return f"key {recipient.recipient_id.hex()}"


def _from_file(path: str) -> Recipient:
    # Whoever can write this file chooses who reads the credentials: its mode is checked as that of a trust file.
    data = read_trusted(path, FILE_BYTES)
    try:
        lines = [line for line in map(str.strip, data.decode().splitlines()) if line and not line.startswith("#")]
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1:
        hint = "name the .pub file that `credagent keygen` made, or the line in it"
        raise ConfigurationError("wrong-key", "does not hold one public key", what=path, hint=hint)
    try:
        if is_kms_reference(lines[0]):
            return KmsRecipient(parse_kms_reference(lines[0]))
        return RecipientPublicKey.parse(lines[0])
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error  # which of several
