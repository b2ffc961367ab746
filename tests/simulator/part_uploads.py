"""Uploads in parts, the same in S3 and in the XML interface of Google Cloud Storage. Permissions are the face's."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from . import s3_documents as documents
from .aws_chunked import content
from .objects import Buckets, StoredObject
from .web import Refused, Request, Response, xml_response


class PartUploads:
    """Those that have begun, by their upload id."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._begun: dict[str, dict[int, bytes]] = {}

    def operations(self) -> dict[str, Callable[[Request, str, str], Response]]:
        """By S3's names."""
        return {
            "CreateMultipartUpload": self.begin,
            "UploadPart": self.part,
            "CompleteMultipartUpload": self.complete,
            "AbortMultipartUpload": self.abort,
        }

    def begin(self, request: Request, bucket: str, key: str) -> Response:
        upload = secrets.token_hex(16)
        self._begun[upload] = {}
        return xml_response(documents.upload_started(bucket, key, upload))

    def part(self, request: Request, bucket: str, key: str) -> Response:
        data = content(request)
        self._parts(request)[int(request.query["partNumber"])] = data
        return Response(200, headers={"ETag": StoredObject(key, data, 0.0).etag})

    def complete(self, request: Request, bucket: str, key: str) -> Response:
        parts = self._parts(request)
        wanted = [int(number) for number in documents.texts(content(request), "PartNumber")]
        if not set(wanted) <= set(parts):
            raise Refused(400, "InvalidPart", "One or more of the specified parts could not be found.")
        stored = self._buckets.put(bucket, key, b"".join(parts[number] for number in wanted))
        del self._begun[request.query["uploadId"]]
        return xml_response(documents.upload_completed(bucket, stored))

    def abort(self, request: Request, bucket: str, key: str) -> Response:
        self._parts(request)
        del self._begun[request.query["uploadId"]]
        return Response(204)

    def _parts(self, request: Request) -> dict[int, bytes]:
        parts = self._begun.get(request.query.get("uploadId", ""))
        if parts is None:
            raise Refused(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return parts
