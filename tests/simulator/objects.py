"""Buckets and objects in memory, as S3 and Google Cloud Storage both need them. No HTTP."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

from .crc32c import crc32c


@dataclass(frozen=True)
class StoredObject:
    key: str
    data: bytes = field(repr=False)
    modified_at: float
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    generation: int = 1

    @cached_property
    def md5(self) -> bytes:
        return hashlib.md5(self.data, usedforsecurity=False).digest()

    @property
    def etag(self) -> str:
        return f'"{self.md5.hex()}"'

    @cached_property
    def crc32c_base64(self) -> str:
        return base64.b64encode(crc32c(self.data).to_bytes(4, "big")).decode()


@dataclass
class Bucket:
    """`readers` are patterns of the principals that may use it."""

    name: str
    created_at: float
    readers: tuple[str, ...] = ("*",)
    objects: dict[str, StoredObject] = field(default_factory=dict)

    def allows(self, principal: str) -> bool:
        return any(fnmatchcase(principal, pattern) for pattern in self.readers)


@dataclass(frozen=True)
class Page:
    """One page of a listing; `next_after` is where the next one begins, None on the last."""

    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_after: str | None


class Buckets:
    """Safe to use from any thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}

    def create(self, name: str, readers: tuple[str, ...] | None = None) -> Bucket:
        with self._lock:
            bucket = self._buckets.setdefault(name, Bucket(name, self._now()))
            if readers is not None:
                bucket.readers = readers
            return bucket

    def bucket(self, name: str) -> Bucket | None:
        with self._lock:
            return self._buckets.get(name)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._buckets)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> StoredObject:
        with self._lock:
            objects = self.create(bucket).objects
            earlier = objects.get(key)
            generation = earlier.generation + 1 if earlier else int(self._now() * 1e6)
            stored = StoredObject(key, data, self._now(), content_type, dict(metadata or {}), generation)
            objects[key] = stored
            return stored

    def get(self, bucket: str, key: str) -> StoredObject | None:
        with self._lock:
            found = self._buckets.get(bucket)
            return found.objects.get(key) if found else None

    def delete(self, bucket: str, key: str) -> bool:
        with self._lock:
            found = self._buckets.get(bucket)
            return found is not None and found.objects.pop(key, None) is not None

    def page(self, bucket: str, *, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """Keys in order, those that share a prefix up to the delimiter folded into one."""
        with self._lock:
            objects = dict(self._buckets[bucket].objects)
        found: list[StoredObject] = []
        prefixes: list[str] = []
        last = after
        for key in sorted(objects):
            if not key.startswith(prefix):
                continue
            folded = _folded(key, prefix, delimiter)
            entry = folded or key
            if entry <= after or (prefixes and entry == prefixes[-1]):
                continue
            if len(found) + len(prefixes) >= limit:
                return Page(tuple(found), tuple(prefixes), last)
            if folded:
                prefixes.append(folded)
            else:
                found.append(objects[key])
            last = entry
        return Page(tuple(found), tuple(prefixes), None)


def _folded(key: str, prefix: str, delimiter: str) -> str:
    if not delimiter:
        return ""
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return prefix + head + delimiter if found else ""
