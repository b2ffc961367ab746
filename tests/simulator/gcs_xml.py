"""The XML interface of Google Cloud Storage, as object_store reads it: S3's documents, Google's tokens.

https://cloud.google.com/storage/docs/xml-api/overview. The bearer token is checked by `gcs.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from . import s3_documents as documents
from .cloud import Cloud
from .gcs_content import content_response
from .ledger import Call
from .part_uploads import PartUploads
from .web import Refused, Request, Response, xml_response

NAMES = {"GET": "objects.read", "HEAD": "objects.get", "PUT": "objects.insert", "DELETE": "objects.delete"}
PART_UPLOAD_NAMES = {
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
MAX_KEYS = 1000


class GcsXml:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._operations: dict[str, Callable[[Request, str, str], Response]] = {
            "objects.list": self._list,
            "objects.read": self._get,
            "objects.get": self._get,
            "objects.insert": self._put,
            "objects.delete": self._delete,
            **PartUploads(cloud.gcs).operations(),
        }

    def operation(self, request: Request) -> str:
        where = split(request)
        for (method, parameter), name in PART_UPLOAD_NAMES.items():
            if request.method == method and parameter in request.query:
                return name
        if where["key"]:
            return NAMES.get(request.method, "Unknown")
        return "objects.list" if where["bucket"] and request.method == "GET" else "Unknown"

    def answer(self, request: Request, call: Call) -> Response:
        operation = self._operations.get(call.operation)
        if operation is None:
            raise Refused(501, "NotImplemented", "the simulator does not do that")
        where = split(request)
        return operation(request, where["bucket"], where["key"])

    def refusal(self, refused: Refused, request: Request) -> Response:
        code = {"UNAUTHENTICATED": "AuthenticationRequired", "Anonymous": "AccessDenied"}.get(
            refused.code, refused.code
        )
        return xml_response(documents.error(code, refused.message, request.path), refused.status)

    def _list(self, request: Request, bucket: str, _: str) -> Response:
        asked = request.query
        page = self._cloud.gcs.page(
            bucket,
            prefix=asked.get("prefix", ""),
            delimiter=asked.get("delimiter", ""),
            after=asked.get("continuation-token") or asked.get("start-after") or asked.get("marker") or "",
            limit=min(int(asked.get("max-keys", MAX_KEYS)), MAX_KEYS),
        )
        return xml_response(documents.listing(bucket, page, asked))

    def _get(self, request: Request, bucket: str, key: str) -> Response:
        stored = self._cloud.gcs.get(bucket, key)
        if stored is None:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        return content_response(request, stored)

    def _put(self, request: Request, bucket: str, key: str) -> Response:
        source = request.header("x-goog-copy-source").lstrip("/").split("/", 1)
        original = self._cloud.gcs.get(*source) if len(source) == 2 else None
        data = original.data if original else request.body
        stored = self._cloud.gcs.put(bucket, key, data, request.header("content-type"))
        return Response(200, headers={"ETag": stored.etag, "X-Goog-Generation": str(stored.generation)})

    def _delete(self, request: Request, bucket: str, key: str) -> Response:
        if not self._cloud.gcs.delete(bucket, key):
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        return Response(204)


def split(request: Request) -> dict[str, str]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    return {"bucket": bucket, "key": key}
