"""The three ways in which an object is sent to Google Cloud Storage: simple, multipart, resumable. No buckets here.

https://cloud.google.com/storage/docs/uploads-downloads
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from .web import Refused, Request, Response

CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-(?P<end>\d+)|\*)/(?P<total>\d+|\*)")


@dataclass
class Arriving:
    """An object that arrives, whole or in part."""

    key: str
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


class Uploads:
    """Resumable uploads that have begun."""

    def __init__(self) -> None:
        self._begun: dict[str, Arriving] = {}

    def arrive(self, request: Request) -> Arriving | Response:
        """The object if all of it is there, else what to answer."""
        kind = request.query.get("uploadType", "media")
        if kind == "multipart":
            return _multipart(request)
        if kind == "resumable":
            return self._continue(request) if "upload_id" in request.query else self._begin(request)
        content_type = request.header("content-type") or "application/octet-stream"
        return Arriving(request.query["name"], content_type, data=request.body)

    def cancel(self, request: Request) -> None:
        self._begun.pop(request.query.get("upload_id", ""), None)

    def _begin(self, request: Request) -> Response:
        described = json.loads(request.body or b"{}")
        arriving = _described(described, request)
        arriving.content_type = described.get("contentType") or request.header("x-upload-content-type")
        upload = secrets.token_urlsafe(24)
        self._begun[upload] = arriving
        location = f"http://{request.header('host')}{request.target}&upload_id={upload}"
        return Response(200, headers={"Location": location, "X-GUploader-UploadID": upload})

    def _continue(self, request: Request) -> Arriving | Response:
        arriving = self._begun.get(request.query["upload_id"])
        if arriving is None:
            raise Refused(404, "NOT_FOUND", "no such upload")
        header = request.header("content-range")
        found = CONTENT_RANGE.fullmatch(header)
        if header and found is None:
            raise Refused(400, "INVALID_ARGUMENT", "Content-Range")
        if found and found["start"] is not None:
            arriving.data = arriving.data[: int(found["start"])] + request.body
        elif not found:
            arriving.data = request.body
        if found and found["total"] in ("*", None):
            return _incomplete(arriving)
        if found and len(arriving.data) < int(found["total"]):
            return _incomplete(arriving)
        return self._begun.pop(request.query["upload_id"])


def _incomplete(arriving: Arriving) -> Response:
    """308 as Google means it: go on after this byte."""
    return Response(308, headers={"Range": f"bytes=0-{len(arriving.data) - 1}"} if arriving.data else {})


def _multipart(request: Request) -> Arriving:
    boundary = re.search(r'boundary="?([^";]+)"?', request.header("content-type"))
    parts = request.body.split(b"--" + boundary[1].encode()) if boundary else []
    if len(parts) < 4:
        raise Refused(400, "INVALID_ARGUMENT", "Malformed multipart body.")
    described, (head, content) = _part(parts[1])[1], _part(parts[2])
    arriving = _described(json.loads(described), request)
    content_type = re.search(rb"content-type:\s*([^\r\n]+)", head, re.IGNORECASE)
    if content_type:
        arriving.content_type = content_type[1].decode()
    arriving.data = content
    return arriving


def _part(raw: bytes) -> tuple[bytes, bytes]:
    """Head and content; the line end before the next boundary belongs to that. Bare LF is accepted, as Google does."""
    line_end = b"\r\n" if raw.startswith(b"\r\n") else b"\n"
    head, _, content = raw.removeprefix(line_end).partition(line_end * 2)
    return head, content.removesuffix(line_end)


def _described(document: dict[str, Any], request: Request) -> Arriving:
    key = document.get("name") or request.query.get("name")
    if not key:
        raise Refused(400, "INVALID_ARGUMENT", "Required object name")
    content_type = document.get("contentType") or "application/octet-stream"
    return Arriving(key, content_type, document.get("metadata") or {})
