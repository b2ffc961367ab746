"""The grammar of an envelope: text to typed parts and back. No cryptography but its digest, no policy, no secret.

FORMAT.md section 2 is the specification. There is exactly one text for an envelope and one envelope for a text: every
length is stated once and must be exact, numbers have a fixed width, stanzas a fixed order.
"""

import hashlib
from datetime import datetime

from msgspec import Struct

from credagent.bundle import base64url
from credagent.bundle.content_key_wrapping import StanzaKind
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.bundle.timestamps import NUMBER_LIMIT, microseconds_of, moment_of

TEXT_PREFIX = "credagent-bundle:"
FORMAT_VERSION = 1
MAX_TEXT_BYTES = 128 * 1024  # 64 X-Wing stanzas are 100 KiB of it
MAX_RECIPIENTS = 64
MAX_AUDIENCE_BYTES = 255  # its length is one byte
SIGNATURE_BYTES = 64
TAG_BYTES = 16  # AES-GCM's; the shortest content
BODY_BYTES = {
    StanzaKind.X_WING: range(1168, 1169),  # 1088 ML-KEM-768 + 32 X25519 + 32 content key + 16 tag
    StanzaKind.X25519: range(80, 81),  # 32 + 32 + 16
    StanzaKind.AWS_KMS: range(1, 6145),  # what kms:Decrypt takes
    StanzaKind.GCP_KMS: range(1, 6145),
}


class Stanza(Struct, frozen=True):
    """The content key, wrapped for one recipient."""

    kind: StanzaKind
    recipient_id: bytes
    body: bytes


class Header(Struct, frozen=True, kw_only=True):
    """What an envelope says in clear. `sender`, a raw public key, proves nothing before the signature is checked."""

    sender: bytes
    audience: str
    bundle_id: str
    sequence: int
    issued_at: datetime
    not_after: datetime

    @property
    def sender_id(self) -> str:
        """Return the key id of the sender, as people see it and as marks are filed."""
        return hashlib.sha256(self.sender).digest()[:16].hex()


class Envelope(Struct, frozen=True, kw_only=True):
    """One envelope, grammatically sound and no more: its signature is not checked yet.

    `sealed` is the header with all stanzas: what the content's tag covers as associated data. `signed` is every byte
    that precedes the signature. `digest` is SHA-256 over the whole binary form, in hex: the identity of this very
    envelope. `text` is its one text, without a newline. All four are taken from what was parsed, once: an envelope can
    have 128 KiB, and is asked for them many times.
    """

    header: Header
    stanzas: tuple[Stanza, ...]
    content: bytes
    signature: bytes
    sealed: bytes
    signed: bytes
    digest: str
    text: str


def header_bytes(header: Header, stanzas: tuple[Stanza, ...]) -> bytes:
    """Return the binary form of everything that precedes the content's length."""
    audience = header.audience.encode()
    parts = [
        bytes((FORMAT_VERSION,)),
        header.sender,
        bytes((len(audience),)),
        audience,
        bytes.fromhex(header.bundle_id),
        header.sequence.to_bytes(8, "big"),
        microseconds_of(header.issued_at).to_bytes(8, "big"),
        microseconds_of(header.not_after).to_bytes(8, "big"),
        bytes((len(stanzas),)),
    ]
    for stanza in stanzas:
        parts += (bytes((stanza.kind,)), stanza.recipient_id, len(stanza.body).to_bytes(2, "big"), stanza.body)
    return b"".join(parts)


def signed_bytes(sealed: bytes, content: bytes) -> bytes:
    """Return every byte that a signature covers, of what precedes the content's length and the encrypted content."""
    return sealed + len(content).to_bytes(4, "big") + content


def text_of(signed: bytes, signature: bytes) -> str:
    """Return the one text of an envelope, without a newline."""
    return f"{TEXT_PREFIX}{FORMAT_VERSION}:{base64url.encode(signed + signature)}"


def parse(text: str | bytes) -> Envelope:
    """Return the parts of an envelope's text (one newline after it is ignored), or raise Refused."""
    line = _line(text)
    binary = _binary(line)
    cursor = _Cursor(binary)
    if cursor.number(1, "version") != FORMAT_VERSION:
        raise refusal(RefusalCode.UNKNOWN_VERSION, "its binary form has a version this credagent does not know")
    header = _header(cursor)
    stanzas = _stanzas(cursor)
    sealed = cursor.taken()
    content = cursor.take(cursor.number(4, "content length"), "content")
    if len(content) < TAG_BYTES:
        raise refusal(RefusalCode.MALFORMED, "its content is too short to be one")
    signed = cursor.taken()
    signature = cursor.take(SIGNATURE_BYTES, "signature")
    cursor.finish()
    return Envelope(
        header=header,
        stanzas=stanzas,
        content=content,
        signature=signature,
        sealed=sealed,
        signed=signed,
        digest=hashlib.sha256(binary).hexdigest(),
        text=line,
    )


def audience_fault(audience: str) -> str:
    """Say what keeps `audience` from naming a cluster; empty where nothing does."""
    if not 1 <= len(audience.encode("utf-8", "replace")) <= MAX_AUDIENCE_BYTES:
        return f"its audience is empty or longer than {MAX_AUDIENCE_BYTES} bytes"
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in audience):
        return "its audience holds a control character"  # it is shown on terminals and in logs
    return ""


class _Cursor:
    """Reads a binary form from front to end; what it cannot give is `malformed`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int, part: str) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise refusal(RefusalCode.MALFORMED, f"it ends in the middle of its {part}")
        self._at += count
        return taken

    def taken(self) -> bytes:
        """Return everything that was read so far."""
        return self._data[: self._at]

    def number(self, width: int, part: str) -> int:
        return int.from_bytes(self.take(width, part), "big")

    def limited(self, part: str) -> int:
        value = self.number(8, part)
        if value >= NUMBER_LIMIT:
            raise refusal(RefusalCode.MALFORMED, f"its {part} is out of range")
        return value

    def finish(self) -> None:
        if self._at != len(self._data):
            raise refusal(RefusalCode.MALFORMED, "something follows its signature")


def _line(text: str | bytes) -> str:
    """Return the one line of `text`, within its limit."""
    if len(text) > MAX_TEXT_BYTES + 1:  # before anything else is done with it
        raise refusal(RefusalCode.TOO_LARGE, f"it is larger than {MAX_TEXT_BYTES // 1024} KiB")
    line = (text.decode("ascii", "replace") if isinstance(text, bytes) else text).removesuffix("\n")
    if not line.strip():
        raise refusal(RefusalCode.EMPTY, "there is nothing in it")
    if len(line) > MAX_TEXT_BYTES:
        raise refusal(RefusalCode.TOO_LARGE, f"it is larger than {MAX_TEXT_BYTES // 1024} KiB")
    return line


def _binary(line: str) -> bytes:
    version, colon, body = line.removeprefix(TEXT_PREFIX).partition(":")
    if not line.startswith(TEXT_PREFIX) or not colon or not (version.isascii() and version.isdecimal()):
        raise refusal(RefusalCode.NOT_AN_ENVELOPE, f"it does not begin with {TEXT_PREFIX}{FORMAT_VERSION}:")
    if version != str(FORMAT_VERSION):
        raise refusal(RefusalCode.UNKNOWN_VERSION, "its format has a version this credagent does not know")
    try:
        return base64url.decode(body)
    except ValueError:
        raise refusal(RefusalCode.MALFORMED, "it is not one unbroken line of canonical base64url") from None


def _header(cursor: _Cursor) -> Header:
    sender = cursor.take(32, "sender")
    raw_audience = cursor.take(cursor.number(1, "audience length"), "audience")
    try:
        audience = raw_audience.decode()
    except UnicodeDecodeError:
        raise refusal(RefusalCode.MALFORMED, "its audience is not UTF-8") from None
    if fault := audience_fault(audience):
        raise refusal(RefusalCode.MALFORMED, fault)
    bundle_id = cursor.take(16, "bundle id").hex()
    sequence, issued, ends = (cursor.limited(part) for part in ("sequence", "issued_at", "not_after"))
    if not sequence:
        raise refusal(RefusalCode.MALFORMED, "its sequence is zero")
    if issued >= ends:
        raise refusal(RefusalCode.MALFORMED, "it ends before it begins")
    return Header(
        sender=sender,
        audience=audience,
        bundle_id=bundle_id,
        sequence=sequence,
        issued_at=moment_of(issued),
        not_after=moment_of(ends),
    )


def _stanzas(cursor: _Cursor) -> tuple[Stanza, ...]:
    count = cursor.number(1, "number of recipients")
    if not 1 <= count <= MAX_RECIPIENTS:
        raise refusal(RefusalCode.MALFORMED, f"it has {count} recipients; 1 to {MAX_RECIPIENTS} are possible")
    stanzas = tuple(_stanza(cursor) for _ in range(count))
    order = [(stanza.kind, stanza.recipient_id) for stanza in stanzas]
    if order != sorted(order) or len({stanza.recipient_id for stanza in stanzas}) != count:
        raise refusal(RefusalCode.MALFORMED, "its recipients are out of order, or one is there twice")
    return stanzas


def _stanza(cursor: _Cursor) -> Stanza:
    number = cursor.number(1, "recipient")
    if number not in BODY_BYTES:
        raise refusal(RefusalCode.MALFORMED, f"it has a recipient of a kind ({number}) that version 1 does not know")
    kind = StanzaKind(number)
    recipient_id = cursor.take(16, "recipient")
    length = cursor.number(2, "recipient")
    if length not in BODY_BYTES[kind]:
        raise refusal(RefusalCode.MALFORMED, "the key wrapped for a recipient has the wrong length")
    return Stanza(kind, recipient_id, cursor.take(length, "recipient"))
