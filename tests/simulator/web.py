"""What a face sees of HTTP: a request, a response, and the protocol that every face fulfils. No sockets here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from .ledger import Call


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case, repeated headers joined with commas."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    peer: str = ""

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    @cached_property
    def path(self) -> str:
        return unquote(self.raw_path)

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def header(self, name: str, default: str = "") -> str:
        return self.headers.get(name.lower(), default)


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Ends the answering of a request with the service's own error document."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


class Face(Protocol):
    """One service of one cloud."""

    service: str

    def operation(self, request: Request) -> str:
        """The name under which the request is logged and faults are planned. Must not raise."""
        ...

    def answer(self, request: Request, call: Call) -> Response:
        """Fills in the call's credential and principal as soon as they are known; raises Refused."""
        ...

    def refusal(self, refused: Refused, request: Request) -> Response:
        """The error in the form that the service's clients parse."""
        ...


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(document, indent=1).encode()
    return Response(status, body, {"Content-Type": "application/json", **(headers or {})})


def text_response(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, text.encode(), {"Content-Type": "text/plain", **(headers or {})})


def xml_response(document: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + document.encode()
    return Response(status, body, {"Content-Type": "application/xml", **(headers or {})})


def ranged(header: str, data: bytes, headers: dict[str, str], refusal: Refused) -> Response:
    """Answer with the part that a `Range` header names, or with all. Raises `refusal` where there is no such part."""
    try:
        wanted = _byte_range(header, len(data))
    except ValueError:
        raise refusal from None
    if wanted is None:
        return Response(200, data, headers)
    start, end = wanted
    return Response(206, data[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"})


def _byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a `Range: bytes=…` (RFC 9110, section 14); None where the whole is meant.

    Raises ValueError where the range cannot be satisfied.
    """
    unit, _, spec = header.partition("=")
    if unit.strip() != "bytes" or "," in spec or "-" not in spec:
        return None
    first, _, last = spec.strip().partition("-")
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if start >= size or start > end:
        raise ValueError(header)
    return start, end
