"""Undoes the `aws-chunked` encoding of an upload; chunk signatures and trailing checksums are passed over.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .web import Refused, Request


def content(request: Request) -> bytes:
    """The object that an upload carries. Raises Refused where body and headers do not agree."""
    declared = request.header("x-amz-content-sha256")
    if declared.startswith("STREAMING-"):
        return _decoded(request.body, request.headers)
    if len(declared) == 64 and declared != hashlib.sha256(request.body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match.")
    return request.body


def _decoded(body: bytes, headers: Mapping[str, str]) -> bytes:
    data = bytearray()
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        if end < 0:
            raise Refused(400, "IncompleteBody", "The request body terminated unexpectedly")
        size = int(body[position:end].partition(b";")[0], 16)
        if size == 0:
            break
        data += body[end + 2 : end + 2 + size]
        position = end + 2 + size + 2
    if int(headers.get("x-amz-decoded-content-length", len(data))) != len(data):
        raise Refused(400, "IncompleteBody", "You did not provide the number of bytes specified")
    return bytes(data)
