"""Where in EC2 user data a bundle is. Pure.

User data has one owner and many readers (cloud-init, launchers, us), so a bundle may share it. It is found
1. as the whole of the user data;
2. as a part of type `text/x-credagent-bundle` of a MIME multipart message;
3. on a line of its own in any other text, a part of a message included: in a comment (`# credagent-bundle:…`), as
   `content:` of cloud-init's write_files, or bare, indented and quoted as one likes.
User data in which none of these is, a script for instance, holds no bundle. Compressed user data is read as cloud-init
reads it. Two different bundles are one too many: which one is meant would be a guess.
"""

import re
import zlib

from credagent.bundle.envelope import TEXT_PREFIX
from credagent.cloud_helper.failures import CloudFailure

PART_TYPE = "text/x-credagent-bundle"
GZIP = b"\x1f\x8b"
MAX_UNPACKED_BYTES = 1024 * 1024  # 16 KiB of gzip can hold 16 MiB of zeros
MAX_PARTS = 100  # cloud-init knows a dozen types of parts
MULTIPART = re.compile(rb"(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?content-type:\s*multipart/", re.IGNORECASE)
LINE = re.compile(
    rb"""^[ \t]*(?:\#+[ \t]*|(?:-[ \t]+)?content:[ \t]*)?["']?("""
    + TEXT_PREFIX.encode()
    + rb"""[^\s"']*)["']?[ \t\r]*$""",
    re.MULTILINE,
)


def bundle_in(data: bytes) -> bytes | None:
    """Return the bundle's text, as it stands there; None where there is none. Raises CloudFailure."""
    unpacked = _unpacked(data) if data.startswith(GZIP) else data
    if unpacked.startswith(TEXT_PREFIX.encode()):
        return unpacked
    found = _in_message(unpacked) if MULTIPART.match(unpacked.lstrip()) else LINE.findall(unpacked)
    different = dict.fromkeys(found)
    if len(different) > 1:
        raise CloudFailure("channel-ambiguous", f"{len(different)} bundles in one document")
    return next(iter(different), None)


def _in_message(data: bytes) -> list[bytes]:
    from email import message_from_bytes

    found: list[bytes] = []
    for count, part in enumerate(message_from_bytes(data.lstrip()).walk()):
        if count > MAX_PARTS:
            raise CloudFailure("channel-too-large", f"more than {MAX_PARTS} parts")
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):  # a multipart itself
            continue
        text = _unpacked(content) if content.startswith(GZIP) else content
        found += [text.strip()] if part.get_content_type() == PART_TYPE else LINE.findall(text)
    return found


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip
    try:
        unpacked = unpacking.decompress(data, MAX_UNPACKED_BYTES + 1)
    except zlib.error:
        return b""  # it only looks like gzip; whatever it is, it is no bundle
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise CloudFailure("channel-too-large", f"more than {MAX_UNPACKED_BYTES} bytes when unpacked")
    return unpacked
