"""Amazon S3 in path style, as far as the clients of the matrix use it. Every request is signed or refused.

Where an object is kept is `objects.py`'s matter, how a document is written `s3_documents.py`'s.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import unquote

from . import s3_documents as documents
from . import times
from .aws_chunked import content
from .cloud import Cloud
from .ledger import Call, Issued
from .objects import Bucket, StoredObject
from .part_uploads import PartUploads
from .sigv4 import Wording, verify
from .web import Refused, Request, Response, ranged, xml_response

MAX_KEYS = 1000
WORDING = Wording(
    missing=(403, "AccessDenied", "Access Denied"),
    unknown_key=(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    bad_signature=(403, "SignatureDoesNotMatch", "The request signature we calculated does not match."),
    bad_token=(400, "InvalidToken", "The provided token is malformed or otherwise invalid."),
    expired=(400, "ExpiredToken", "The provided token has expired."),
    revoked=(403, "AccessDenied", "Access Denied"),
    wrong_time=(403, "RequestTimeTooSkewed", "The difference between request time and current time is too large."),
)
NO_BUCKET = (404, "NoSuchBucket", "The specified bucket does not exist")
NO_KEY = (404, "NoSuchKey", "The specified key does not exist.")

OPERATIONS_ON_A_BUCKET = {
    ("GET", "location"): "GetBucketLocation",
    ("GET", ""): "ListObjects",
    ("HEAD", ""): "HeadBucket",
    ("PUT", ""): "CreateBucket",
    ("POST", "delete"): "DeleteObjects",
}
OPERATIONS_ON_AN_OBJECT = {
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("DELETE", ""): "DeleteObject",
}
SUBRESOURCES = ("location", "delete", "uploads", "uploadId", "acl", "versioning", "tagging", "website", "policy")


class S3:
    service = "s3"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._part_uploads = PartUploads(cloud.s3).operations()
        self._operations: dict[str, Callable[[Request, Call], Response]] = {
            "ListBuckets": self._list_buckets,
            "GetBucketLocation": self._location,
            "HeadBucket": self._head_bucket,
            "CreateBucket": self._create_bucket,
            "ListObjects": self._list,
            "ListObjectsV2": self._list,
            "GetObject": self._get,
            "HeadObject": self._get,
            "PutObject": self._put,
            "CopyObject": self._copy,
            "DeleteObject": self._delete,
            "DeleteObjects": self._delete_many,
        }

    def operation(self, request: Request) -> str:
        bucket, key = _split(request)
        part = next((name for name in SUBRESOURCES if name in request.query), "")
        if not bucket:
            return "ListBuckets"
        table = OPERATIONS_ON_AN_OBJECT if key else OPERATIONS_ON_A_BUCKET
        name = table.get((request.method, part), "Unknown")
        if name == "ListObjects" and request.query.get("list-type") == "2":
            return "ListObjectsV2"
        return "CopyObject" if name == "PutObject" and request.header("x-amz-copy-source") else name

    def answer(self, request: Request, call: Call) -> Response:
        bucket, key = _split(request)
        call.details.update({name: value for name, value in (("bucket", bucket), ("key", key)) if value})
        caller = verify(request, self._cloud, WORDING, service="s3", call=call)
        self._authorise(caller, bucket, call.operation)
        if call.operation in self._part_uploads:
            return self._part_uploads[call.operation](request, bucket, key)
        operation = self._operations.get(call.operation)
        if operation is None:
            raise Refused(501, "NotImplemented", "A header or query you provided implies functionality not implemented")
        return operation(request, call)

    def refusal(self, refused: Refused, request: Request) -> Response:
        document = documents.error(refused.code, refused.message, request.path)
        return xml_response(document, refused.status, {"x-amz-request-id": secrets.token_hex(8).upper()})

    def _authorise(self, caller: Issued, name: str, operation: str) -> None:
        role = caller.details.get("role")
        if role is not None and role not in self._cloud.account.roles:
            raise Refused(*WORDING.unknown_key)
        bucket = self._cloud.s3.bucket(name)
        if name and bucket is None and operation != "CreateBucket":
            raise Refused(*NO_BUCKET)
        if bucket is not None and not bucket.allows(caller.principal):
            raise Refused(403, "AccessDenied", "Access Denied")

    def _region(self) -> dict[str, str]:
        return {"x-amz-bucket-region": self._cloud.account.region}

    def _list_buckets(self, request: Request, call: Call) -> Response:
        return xml_response(documents.buckets(self._cloud.s3.names()))

    def _location(self, request: Request, call: Call) -> Response:
        return xml_response(documents.location(self._cloud.account.region))

    def _head_bucket(self, request: Request, call: Call) -> Response:
        return Response(200, headers=self._region())

    def _create_bucket(self, request: Request, call: Call) -> Response:
        bucket: Bucket = self._cloud.s3.create(_split(request)[0])
        return Response(200, headers={"Location": "/" + bucket.name})

    def _list(self, request: Request, call: Call) -> Response:
        asked, bucket = request.query, _split(request)[0]
        after = asked.get("continuation-token") or asked.get("start-after") or asked.get("marker") or ""
        limit = int(asked.get("max-keys", MAX_KEYS))
        page = self._cloud.s3.page(
            bucket,
            prefix=asked.get("prefix", ""),
            delimiter=asked.get("delimiter", ""),
            after=after,
            limit=min(limit, MAX_KEYS),
        )
        return xml_response(documents.listing(bucket, page, asked), headers=self._region())

    def _get(self, request: Request, call: Call) -> Response:
        stored = self._cloud.s3.get(*_split(request))
        if stored is None:
            raise Refused(*NO_KEY)
        headers = _object_headers(stored)
        if request.header("if-none-match") == stored.etag:
            return Response(304, headers=headers)
        if request.header("if-match") not in ("", "*", stored.etag):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        refusal = Refused(416, "InvalidRange", "The requested range is not satisfiable")
        return ranged(request.header("range"), stored.data, headers, refusal)

    def _put(self, request: Request, call: Call) -> Response:
        bucket, key = _split(request)
        if request.header("if-none-match") == "*" and self._cloud.s3.get(bucket, key) is not None:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        stored = self._cloud.s3.put(bucket, key, content(request), _content_type(request), _user_metadata(request))
        return Response(200, headers={"ETag": stored.etag})

    def _copy(self, request: Request, call: Call) -> Response:
        source = unquote(request.header("x-amz-copy-source").partition("?")[0]).lstrip("/")
        original = self._cloud.s3.get(*source.split("/", 1)) if "/" in source else None
        if original is None:
            raise Refused(*NO_KEY)
        bucket, key = _split(request)
        stored = self._cloud.s3.put(bucket, key, original.data, original.content_type, original.metadata)
        return xml_response(documents.copied(stored))

    def _delete(self, request: Request, call: Call) -> Response:
        self._cloud.s3.delete(*_split(request))
        return Response(204)

    def _delete_many(self, request: Request, call: Call) -> Response:
        keys = documents.texts(content(request), "Key")
        for key in keys:
            self._cloud.s3.delete(_split(request)[0], key)
        return xml_response(documents.deleted(keys))


def _split(request: Request) -> tuple[str, str]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    return bucket, key


def _content_type(request: Request) -> str:
    return request.header("content-type") or "binary/octet-stream"


def _user_metadata(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")}


def _object_headers(stored: StoredObject) -> dict[str, str]:
    return {
        "ETag": stored.etag,
        "Last-Modified": times.http_date(stored.modified_at),
        "Content-Type": stored.content_type,
        "Accept-Ranges": "bytes",
        **stored.metadata,
    }
