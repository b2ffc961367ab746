"""Responses as bytes, and what their outcome is called in metrics. Which one is due is decided in the services."""

import json
from collections.abc import Mapping

from msgspec import Struct

REASONS: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
OK = "ok"


class HttpResponse(Struct, frozen=True):
    """A whole response, ready to be written, and its outcome: `ok` or an error's code."""

    status: int
    payload: bytes
    outcome: str

    def __repr__(self) -> str:
        """Show how it ended, never what was answered."""
        return f"HttpResponse({self.status} {self.outcome})"


def text(
    body: str,
    *,
    status: int = 200,
    outcome: str = OK,
    headers: Mapping[str, str] | None = None,
    content_type: str = "text/plain",
) -> HttpResponse:
    """Return a text; a 200 unless told otherwise."""
    return _response(status, outcome, body.encode(), content_type, headers or {})


def document(body: bytes, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a 200 with a JSON document; `application/json` exactly, since google-auth compares it."""
    return _response(200, OK, body, "application/json", headers or {})


def refusal(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return an error in one document that both clouds' clients show to people.

    AWS SDKs look for `code` and `message` (as the ECS agent answers), Google's for `error` and `error_description`
    (RFC 6749, section 5.2). No text here may hold a secret: clients log it.
    """
    body = json.dumps({"code": code, "message": message, "error": code, "error_description": message}).encode()
    return _response(status, code, body, "application/json", headers or {})


def _response(status: int, outcome: str, body: bytes, content_type: str, headers: Mapping[str, str]) -> HttpResponse:
    head = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return HttpResponse(status, "\r\n".join(lines).encode("ascii") + body, outcome)
