"""A Google metadata server over loopback, as far as client libraries ask it for credentials and identity.

Follows "View and query VM metadata" of Compute Engine. Attributes, instance names and identity tokens are not here: a
worker that needs those asks the machine's own.
"""

import json
from datetime import datetime, timedelta
from functools import lru_cache

from msgspec import structs

from credagent.credentials import Empty, GoogleToken, SlotContent, ends_at
from credagent.handover.http.refusals import GOOGLE_FLAVOR, refuse_without_flavor
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, document, refusal, text
from credagent.worker_environment.vendor_documents import google_token

ROOT = "/computeMetadata/v1"
ACCOUNTS = f"{ROOT}/instance/service-accounts"
DEFAULT = "default"

UNKNOWN = refusal(404, "not-found", "this metadata server has credentials and identity only", headers=GOOGLE_FLAVOR)
WITHDRAWN = refusal(404, "withdrawn", "the Google credentials of this machine were withdrawn", headers=GOOGLE_FLAVOR)
NOTHING = refusal(404, "no-credentials", "this machine has no Google credentials", headers=GOOGLE_FLAVOR)
NOT_YET = refusal(
    503, "no-credentials", "the Google credentials are not to be had at the moment", headers=GOOGLE_FLAVOR
)
EXPIRED = refusal(503, "expired", "the Google access token expired and could not be renewed", headers=GOOGLE_FLAVOR)
ALIVE = text("computeMetadata/\n", headers=GOOGLE_FLAVOR, content_type="application/text")

LISTINGS = {
    "/computeMetadata": "v1/\n",
    ROOT: "instance/\nproject/\nuniverse/\n",
    f"{ROOT}/instance": "service-accounts/\n",
    f"{ROOT}/project": "project-id\n",
    f"{ROOT}/universe": "universe-domain\n",
}
ACCOUNT_ENTRIES = "aliases\nemail\nscopes\ntoken\n"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def respond(request: HttpRequest, content: SlotContent, now: datetime, project: str = "") -> HttpResponse:
    """Answer one request with what the google slot holds; never a token that has expired or is incomplete.

    `project` is the configured one, and wins over the token's. Slashes at the end of a path change nothing (the real
    server redirects, and clients follow).
    """
    path = _unquoted(request.path).rstrip("/")
    if path == "" and request.method == b"GET":
        return ALIVE  # how libraries find out that they are on Google, some of them without the header
    refused = refuse_without_flavor(request, may_post=path.startswith(ACCOUNTS) and path.endswith("/token"))
    if refused is not None:
        return refused
    if path in LISTINGS:
        return _text(LISTINGS[path])
    found = _valid(content, now)
    if isinstance(found, HttpResponse):
        return found
    token, ends = found
    if path.startswith(f"{ACCOUNTS}/") or path == ACCOUNTS:
        left_s = int((ends - now).total_seconds())
        return _account(token, path[len(ACCOUNTS) + 1 :], request, left_s=left_s)
    match path.removeprefix(f"{ROOT}/"):
        case "project/project-id":
            return _text(project or token.project) if project or token.project else UNKNOWN
        case "universe/universe-domain" | "universe/universe_domain":
            return _text(token.universe_domain)
        case _:
            return UNKNOWN  # numeric-project-id among them: a forwarded token does not know it


def _valid(content: SlotContent, now: datetime) -> tuple[GoogleToken, datetime] | HttpResponse:
    """Return the token in the slot and when it, or the bundle's bound, ends; else the answer that says why not."""
    if isinstance(content, Empty):
        if content.withdrawn:
            return WITHDRAWN
        return NOTHING if content.may_fall_back else NOT_YET
    token = content.credentials
    if not isinstance(token, GoogleToken) or not token.access_token:
        return NOT_YET
    ends = ends_at(content) or token.expires_at
    return EXPIRED if now >= ends else (token, ends)


@lru_cache(maxsize=1)  # the same for all who ask within a second
def _token_answer(token: GoogleToken, left_s: int) -> HttpResponse:
    """Return the token with the whole seconds that it may be used for."""
    asked_at = token.expires_at
    bounded = structs.replace(token, expires_at=asked_at + timedelta(seconds=left_s))
    return document(google_token(bounded, asked_at), headers=GOOGLE_FLAVOR)


def _account(token: GoogleToken, path: str, request: HttpRequest, *, left_s: int) -> HttpResponse:
    account, _, entry = path.partition("/")
    recursive = _asks_recursively(request.query)
    if account == "":
        return _listing(token, recursive=recursive)
    if account not in (DEFAULT, _email(token)):
        return UNKNOWN
    match entry:
        case "token":
            # `?scopes=` is not looked at: the token has the scopes it was made with, and no request fetches one.
            return _token_answer(token, left_s)
        case "":
            return _json(_described(token)) if recursive else _text(ACCOUNT_ENTRIES)
        case "email":
            return _text(_email(token))
        case "scopes":
            return _text("".join(f"{scope}\n" for scope in _scopes(token)))
        case "aliases":
            return _text(f"{DEFAULT}\n")
        case _:
            return UNKNOWN


def _unquoted(path: str) -> str:
    if "%" not in path:
        return path
    from urllib.parse import unquote  # noqa: PLC0415  milliseconds of the agent's start, for who writes an @ as %40

    return unquote(path)


def _asks_recursively(query: str) -> bool:
    if not query:
        return False
    from urllib.parse import parse_qs  # noqa: PLC0415  as unquote, for who asks with a query

    return parse_qs(query).get("recursive", [""])[-1].lower() == "true"


def _email(token: GoogleToken) -> str:
    """Return the account's name; a token whose account nobody knows is named by the alias, which works as well."""
    return token.email or DEFAULT


def _scopes(token: GoogleToken) -> tuple[str, ...]:
    return token.scopes or (CLOUD_PLATFORM,)


def _listing(token: GoogleToken, *, recursive: bool) -> HttpResponse:
    names = dict.fromkeys((DEFAULT, _email(token)))  # one name where the account is unknown
    if recursive:
        return _json(dict.fromkeys(names, _described(token)))
    return _text("".join(f"{name}/\n" for name in names))


def _described(token: GoogleToken) -> dict[str, object]:
    return {"aliases": [DEFAULT], "email": _email(token), "scopes": list(_scopes(token))}


def _json(content: dict[str, object]) -> HttpResponse:
    return document(json.dumps(content).encode(), headers=GOOGLE_FLAVOR)


def _text(content: str) -> HttpResponse:
    return text(content, headers=GOOGLE_FLAVOR, content_type="application/text")
