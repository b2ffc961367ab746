"""A recipient key that AWS KMS or Google KMS holds, as the bundle's `KeyOpener`: each opening asks the service.

With the machine's own identity, through the helper process. It blocks; a caller with an event loop gives it a thread.
"""

import base64

from msgspec import Struct

from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.bundle.kms_reference import KmsReference, parse_kms_reference
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import KmsDecrypt
from credagent.errors import Refused, Unavailable

NOT_OPENED = "not-opened"


class KmsRecipientKey(Struct, frozen=True, kw_only=True):
    """The right to open with one key of a key service."""

    reference: KmsReference

    @property
    def kind(self) -> StanzaKind:
        """Return the kind of stanza that this key opens."""
        return self.reference.kind

    @property
    def recipient_id(self) -> bytes:
        """Return the name of this key in a stanza."""
        return self.reference.recipient_id

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        """Return the content key. Raises Refused("does-not-open"), or Unavailable where the service does not serve."""
        request = KmsDecrypt(
            key=self.reference.text,
            ciphertext=body,
            context=context.encryption_context,
            associated_data=context.info,
        )
        try:
            opened = call_blocking(request)
        except Unavailable as error:
            if error.code != NOT_OPENED:
                raise
            hint = "was it sealed for this key, this audience and by this sender?"
            raise Refused("does-not-open", "the key service does not open it", what="the bundle", hint=hint) from error
        return base64.b64decode(opened.plaintext_base64.reveal())


def kms_key(text: str) -> KmsRecipientKey:
    """Return the key that `aws-kms:ARN` or `gcp-kms:NAME` names. Raises ConfigurationError."""
    return KmsRecipientKey(reference=parse_kms_reference(text))
