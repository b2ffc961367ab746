"""A Google metadata server over loopback, as far as client libraries ask it for credentials and identity.

Follows "View and query VM metadata" of Compute Engine. Answers from memory; who may connect is the server's business.
Attributes, instance names and identity tokens are not here: a worker that needs those asks the machine's own.
"""

import json
from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qs, unquote

from msgspec import structs

from credagent.credentials import CredentialSet, Empty, GoogleToken, Held, ends_at
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, document, refusal, text
from credagent.worker_environment.vendor_documents import google_token

ROOT = "/computeMetadata/v1"
ACCOUNTS = f"{ROOT}/instance/service-accounts"
DEFAULT = "default"

FLAVOR = {"Metadata-Flavor": "Google"}
METHODS = refusal(405, "method", "only GET is answered", headers=FLAVOR | {"Allow": "GET"})
NO_FLAVOR = refusal(403, "no-metadata-flavor", "the header Metadata-Flavor: Google is missing", headers=FLAVOR)
UNKNOWN = refusal(404, "not-found", "this metadata server has credentials and identity only", headers=FLAVOR)
WITHDRAWN = refusal(404, "withdrawn", "the Google credentials of this machine were withdrawn", headers=FLAVOR)
NOTHING = refusal(404, "no-credentials", "this machine has no Google credentials", headers=FLAVOR)
NOT_YET = refusal(503, "no-credentials", "the Google credentials are not to be had at the moment", headers=FLAVOR)
EXPIRED = refusal(503, "expired", "the Google access token expired and could not be renewed", headers=FLAVOR)
ALIVE = text("computeMetadata/\n", headers=FLAVOR, content_type="application/text")

LISTINGS = {
    "/computeMetadata": "v1/\n",
    ROOT: "instance/\nproject/\nuniverse/\n",
    f"{ROOT}/instance": "service-accounts/\n",
    f"{ROOT}/project": "project-id\n",
    f"{ROOT}/universe": "universe-domain\n",
}
ACCOUNT_ENTRIES = "aliases\nemail\nscopes\ntoken\n"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


class GoogleMetadataServer:
    """Answers Google's client libraries. Never a token that has expired, nor one that is incomplete."""

    def __init__(self, source: Callable[[], CredentialSet], now: Callable[[], datetime], *, project: str = "") -> None:
        """`source` gives the set in force, `now` the wall clock; `project` is the configured one, and wins."""
        self._source, self._now, self._project = source, now, project
        self._held: Held | None = None  # what `_token` was made of; compared by identity, since sets are whole
        self._token: GoogleToken | None = None
        self._ready = NOTHING  # the answer with `_token`, right while it has `_ready_for_s` to live
        self._ready_for_s = -1

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request, whatever slashes it ends with (the real server redirects, and clients follow)."""
        path = unquote(request.path).rstrip("/")
        if path == "":
            return ALIVE if request.method == b"GET" else METHODS  # how libraries find out that they are on Google
        asks_token = path.startswith(ACCOUNTS) and path.endswith("/token")
        if request.method != b"GET" and not asks_token:
            return METHODS
        if request.headers.get(b"metadata-flavor", b"").lower() != b"google":
            return NO_FLAVOR
        if path in LISTINGS:
            return _text(LISTINGS[path])
        token = self._valid()
        if isinstance(token, HttpResponse):
            return token
        if path.startswith(f"{ACCOUNTS}/") or path == ACCOUNTS:
            return self._account(token, path[len(ACCOUNTS) + 1 :], request)
        return self._identity(token, path)

    def _valid(self) -> GoogleToken | HttpResponse:
        """Return the token in force, bounded by what bounds it, else the answer that says why there is none."""
        content = self._source().google
        if content is not self._held:
            self._held, self._token, self._ready_for_s = None, None, -1
            match content:
                case Empty(withdrawn=True):
                    return WITHDRAWN
                case Empty(may_fall_back=True):
                    return NOTHING
                case Held(credentials=GoogleToken() as token) if token.access_token:
                    end = ends_at(content) or token.expires_at
                    self._held, self._token = content, structs.replace(token, expires_at=end)
        if self._token is None:
            return NOT_YET
        return EXPIRED if self._now() >= self._token.expires_at else self._token

    def _token_answer(self, token: GoogleToken) -> HttpResponse:
        """Return the token with what it has to live in whole seconds, made once for each of them."""
        now = self._now()
        left_s = int((token.expires_at - now).total_seconds())
        if left_s != self._ready_for_s:
            self._ready = document(google_token(token, now), headers=FLAVOR)
            self._ready_for_s = left_s
        return self._ready

    def _account(self, token: GoogleToken, path: str, request: HttpRequest) -> HttpResponse:
        account, _, entry = path.partition("/")
        recursive = parse_qs(request.query).get("recursive", [""])[-1].lower() == "true" if request.query else False
        if account == "":
            return _listing(token, recursive=recursive)
        if account not in (DEFAULT, _email(token)):
            return UNKNOWN
        match entry:
            case "token":
                # `?scopes=` is not looked at: the token has the scopes it was made with, and no request fetches one.
                return self._token_answer(token)
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

    def _identity(self, token: GoogleToken, path: str) -> HttpResponse:
        match path.removeprefix(f"{ROOT}/"):
            case "project/project-id":
                project = self._project or token.project
                return _text(project) if project else UNKNOWN
            case "universe/universe-domain" | "universe/universe_domain":
                return _text(token.universe_domain)
            case _:
                return UNKNOWN  # numeric-project-id among them: a forwarded token does not know it


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
    return document(json.dumps(content).encode(), headers=FLAVOR)


def _text(content: str) -> HttpResponse:
    return text(content, headers=FLAVOR, content_type="application/text")
