"""Google Cloud Storage: the JSON interface here, the XML interface in `gcs_xml.py`, behind one port as in life.

https://cloud.google.com/storage/docs/json_api/v1. Every request carries a bearer token or is refused.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from . import gcs_xml, google_api, times
from .cloud import Cloud
from .gcs_content import content_response
from .gcs_uploads import Uploads
from .ledger import Call
from .objects import Bucket, StoredObject
from .web import Refused, Request, Response, json_response

OBJECT = re.compile(r"(?:/download)?/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<key>[^/]+)")
REWRITE = re.compile(
    r"/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<key>[^/]+)/(?:rewriteTo|copyTo)/b/(?P<to_bucket>[^/]+)/o/(?P<to_key>[^/]+)"
)
OBJECTS = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)/o")
BUCKET = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)")
BUCKETS = re.compile(r"/storage/v1/b")
UPLOAD = re.compile(r"(?:/resumable)?/upload/storage/v1/b/(?P<bucket>[^/]+)/o")
NAMES: tuple[tuple[re.Pattern[str], dict[str, str]], ...] = (
    (UPLOAD, {"POST": "objects.insert", "PUT": "objects.insert", "DELETE": "objects.cancel"}),
    (REWRITE, {"POST": "objects.rewrite"}),
    (OBJECT, {"GET": "objects.get", "HEAD": "objects.get", "DELETE": "objects.delete", "PATCH": "objects.patch"}),
    (OBJECTS, {"GET": "objects.list"}),
    (BUCKET, {"GET": "buckets.get"}),
    (BUCKETS, {"GET": "buckets.list", "POST": "buckets.insert"}),
)
MAX_RESULTS = 1000


class Gcs:
    service = "gcs"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._uploads = Uploads()
        self._xml = gcs_xml.GcsXml(cloud)
        self._operations: dict[str, Callable[[Request, dict[str, str]], Response]] = {
            "buckets.list": self._list_buckets,
            "buckets.get": self._get_bucket,
            "buckets.insert": self._create_bucket,
            "objects.list": self._list,
            "objects.get": self._metadata,
            "objects.read": self._read,
            "objects.delete": self._delete,
            "objects.patch": self._patch,
            "objects.rewrite": self._rewrite,
            "objects.insert": self._insert,
            "objects.cancel": self._cancel,
        }

    def operation(self, request: Request) -> str:
        """`objects.read` is reading content, by whichever interface; `objects.get` is metadata."""
        name, _ = _named(request)
        if not name:
            return self._xml.operation(request)
        return "objects.read" if name == "objects.get" and request.query.get("alt") == "media" else name

    def answer(self, request: Request, call: Call) -> Response:
        name, where = _named(request)
        if not name:
            where = gcs_xml.split(request)
        call.details.update({key: value for key, value in where.items() if value})
        caller = google_api.bearer(request, self._cloud, call)
        for bucket in (where.get("bucket"), where.get("to_bucket")):
            self._authorise(caller.principal, bucket, call.operation)
        if not name:
            return self._xml.answer(request, call)
        return self._operations[call.operation](request, where)

    def refusal(self, refused: Refused, request: Request) -> Response:
        return google_api.error(refused) if _named(request)[0] else self._xml.refusal(refused, request)

    def _authorise(self, principal: str, name: str | None, operation: str) -> None:
        bucket = self._cloud.gcs.bucket(name) if name else None
        if name and bucket is None and operation != "buckets.insert":
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        if bucket is not None and not bucket.allows(principal):
            message = f"{principal} does not have storage.objects.get access to the Google Cloud Storage object."
            raise Refused(403, "AccessDenied", message)

    def _list_buckets(self, request: Request, where: dict[str, str]) -> Response:
        found = (self._cloud.gcs.bucket(name) for name in self._cloud.gcs.names())
        return json_response({"kind": "storage#buckets", "items": [_bucket(item) for item in found if item]})

    def _get_bucket(self, request: Request, where: dict[str, str]) -> Response:
        return json_response(_bucket(self._cloud.gcs.create(where["bucket"])))

    def _create_bucket(self, request: Request, where: dict[str, str]) -> Response:
        return json_response(_bucket(self._cloud.gcs.create(json.loads(request.body)["name"])))

    def _list(self, request: Request, where: dict[str, str]) -> Response:
        asked = request.query
        page = self._cloud.gcs.page(
            where["bucket"],
            prefix=asked.get("prefix", ""),
            delimiter=asked.get("delimiter", ""),
            after=_decoded_token(asked.get("pageToken", "")),
            limit=min(int(asked.get("maxResults", MAX_RESULTS)), MAX_RESULTS),
        )
        document: dict[str, Any] = {
            "kind": "storage#objects",
            "items": [self._described(where["bucket"], stored, request) for stored in page.objects],
        }
        if page.prefixes:
            document["prefixes"] = list(page.prefixes)
        if page.next_after is not None:
            document["nextPageToken"] = base64.urlsafe_b64encode(page.next_after.encode()).decode()
        return json_response(document)

    def _stored(self, where: dict[str, str]) -> StoredObject:
        stored = self._cloud.gcs.get(where["bucket"], where["key"])
        if stored is None:
            raise Refused(404, "NoSuchKey", f"No such object: {where['bucket']}/{where['key']}")
        return stored

    def _metadata(self, request: Request, where: dict[str, str]) -> Response:
        return json_response(self._described(where["bucket"], self._stored(where), request))

    def _read(self, request: Request, where: dict[str, str]) -> Response:
        return content_response(request, self._stored(where))

    def _delete(self, request: Request, where: dict[str, str]) -> Response:
        self._stored(where)
        self._cloud.gcs.delete(where["bucket"], where["key"])
        return Response(204)

    def _patch(self, request: Request, where: dict[str, str]) -> Response:
        stored, changes = self._stored(where), json.loads(request.body or b"{}")
        content_type = changes.get("contentType", stored.content_type)
        metadata = changes.get("metadata", stored.metadata)
        changed = self._cloud.gcs.put(where["bucket"], where["key"], stored.data, content_type, metadata)
        return json_response(self._described(where["bucket"], changed, request))

    def _rewrite(self, request: Request, where: dict[str, str]) -> Response:
        original = self._stored(where)
        copy = self._cloud.gcs.put(
            where["to_bucket"], where["to_key"], original.data, original.content_type, original.metadata
        )
        described = self._described(where["to_bucket"], copy, request)
        if "/copyTo/" in request.raw_path:
            return json_response(described)
        size = str(len(copy.data))
        done = {"kind": "storage#rewriteResponse", "done": True, "totalBytesRewritten": size, "objectSize": size}
        return json_response({**done, "resource": described})

    def _insert(self, request: Request, where: dict[str, str]) -> Response:
        arrived = self._uploads.arrive(request)
        if isinstance(arrived, Response):
            return arrived
        if request.query.get("ifGenerationMatch") == "0" and self._cloud.gcs.get(where["bucket"], arrived.key):
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        stored = self._cloud.gcs.put(where["bucket"], arrived.key, arrived.data, arrived.content_type, arrived.metadata)
        return json_response(self._described(where["bucket"], stored, request))

    def _cancel(self, request: Request, where: dict[str, str]) -> Response:
        self._uploads.cancel(request)
        return Response(499)

    def _described(self, bucket: str, stored: StoredObject, request: Request) -> dict[str, Any]:
        link = f"http://{request.header('host')}/download/storage/v1/b/{bucket}/o/{stored.key}?alt=media"
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{stored.key}/{stored.generation}",
            "name": stored.key,
            "bucket": bucket,
            "mediaLink": link,
            "generation": str(stored.generation),
            "metageneration": "1",
            "contentType": stored.content_type,
            "storageClass": "STANDARD",
            "size": str(len(stored.data)),
            "md5Hash": base64.b64encode(stored.md5).decode(),
            "crc32c": stored.crc32c_base64,
            "etag": stored.etag.strip('"'),
            "timeCreated": times.rfc3339(stored.modified_at),
            "updated": times.rfc3339(stored.modified_at),
            "metadata": dict(stored.metadata),
        }


def _named(request: Request) -> tuple[str, dict[str, str]]:
    """The operation of the JSON interface and the names in its path; "" where it is the XML interface's."""
    for pattern, methods in NAMES:
        found = pattern.fullmatch(request.raw_path)
        if found:
            return methods.get(request.method, "Unknown"), {k: unquote(v) for k, v in found.groupdict().items()}
    return "", {}


def _bucket(bucket: Bucket) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "location": "EUROPE-WEST1",
        "storageClass": "STANDARD",
        "timeCreated": times.rfc3339(bucket.created_at),
        "metageneration": "1",
    }


def _decoded_token(token: str) -> str:
    return base64.urlsafe_b64decode(token).decode() if token else ""
