"""An object's content as Google Cloud Storage sends it, the same by both of its interfaces."""

from __future__ import annotations

import base64

from . import times
from .objects import StoredObject
from .web import Refused, Request, Response, ranged


def content_response(request: Request, stored: StoredObject) -> Response:
    """The object's bytes, or the range of them that was asked for."""
    headers = {
        "Content-Type": stored.content_type,
        "ETag": stored.etag,
        "Last-Modified": times.http_date(stored.modified_at),
        "Accept-Ranges": "bytes",
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": "1",
        "X-Goog-Stored-Content-Length": str(len(stored.data)),
        "X-Goog-Hash": f"crc32c={stored.crc32c_base64},md5={base64.b64encode(stored.md5).decode()}",
    }
    refusal = Refused(416, "InvalidRange", "The requested range cannot be satisfied.")
    return ranged(request.header("range"), stored.data, headers, refusal)
