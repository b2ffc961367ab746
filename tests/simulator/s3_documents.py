"""The XML documents of S3, made and read. No state."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

from . import times
from .objects import Page, StoredObject

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def error(code: str, message: str, resource: str) -> str:
    return (
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"<Resource>{escape(resource)}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )


def buckets(names: Iterable[str]) -> str:
    listed = "".join(
        f"<Bucket><Name>{escape(name)}</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>"
        for name in names
    )
    return (
        f'<ListAllMyBucketsResult xmlns="{NAMESPACE}"><Owner><ID>owner</ID></Owner>'
        f"<Buckets>{listed}</Buckets></ListAllMyBucketsResult>"
    )


def location(region: str) -> str:
    """us-east-1 is written as nothing at all."""
    shown = "" if region == "us-east-1" else region
    return f'<LocationConstraint xmlns="{NAMESPACE}">{shown}</LocationConstraint>'


def listing(bucket: str, page: Page, asked: Mapping[str, str]) -> str:
    """ListObjectsV2 where `list-type` says so, else the first version."""

    def encoded(text: str) -> str:
        return quote(text, safe="/") if asked.get("encoding-type") == "url" else escape(text)

    second = asked.get("list-type") == "2"
    entries = "".join(_entry(stored, encoded(stored.key)) for stored in page.objects)
    folded = "".join(f"<CommonPrefixes><Prefix>{encoded(name)}</Prefix></CommonPrefixes>" for name in page.prefixes)
    more = page.next_after is not None
    next_name = "NextContinuationToken" if second else "NextMarker"
    following = f"<{next_name}>{encoded(page.next_after or '')}</{next_name}>" if more else ""
    count = f"<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount>" if second else ""
    encoding = "<EncodingType>url</EncodingType>" if asked.get("encoding-type") == "url" else ""
    return (
        f'<ListBucketResult xmlns="{NAMESPACE}"><Name>{escape(bucket)}</Name>'
        f"<Prefix>{encoded(asked.get('prefix', ''))}</Prefix>"
        f"<Delimiter>{encoded(asked.get('delimiter', ''))}</Delimiter>"
        f"<MaxKeys>{escape(asked.get('max-keys', '1000'))}</MaxKeys>{encoding}{count}"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}{entries}{folded}</ListBucketResult>"
    )


def _entry(stored: StoredObject, key: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{times.rfc3339(stored.modified_at)}</LastModified>"
        f"<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.data)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def upload_started(bucket: str, key: str, upload: str) -> str:
    return (
        f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{escape(bucket)}</Bucket>'
        f"<Key>{escape(key)}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
    )


def upload_completed(bucket: str, stored: StoredObject) -> str:
    return (
        f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{escape(bucket)}</Bucket>'
        f"<Key>{escape(stored.key)}</Key><ETag>{escape(stored.etag)}</ETag></CompleteMultipartUploadResult>"
    )


def copied(stored: StoredObject) -> str:
    return (
        f'<CopyObjectResult xmlns="{NAMESPACE}"><LastModified>{times.rfc3339(stored.modified_at)}</LastModified>'
        f"<ETag>{escape(stored.etag)}</ETag></CopyObjectResult>"
    )


def deleted(keys: Iterable[str]) -> str:
    listed = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
    return f'<DeleteResult xmlns="{NAMESPACE}">{listed}</DeleteResult>'


def texts(document: bytes, name: str) -> list[str]:
    """The text of every element of that name, whatever its namespace."""
    root = ET.fromstring(document)  # noqa: S314 - written by the tests' own clients
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == name]
