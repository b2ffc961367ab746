"""The Google Compute Engine metadata server: identity, tokens, attributes and waiting for their change.

https://cloud.google.com/compute/docs/metadata/querying-metadata
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .cloud import Cloud
from .held import Held
from .identity_tokens import ISSUER
from .ledger import Call, Issued
from .project import CLOUD_PLATFORM, TOKEN_LIFETIME_S
from .web import Refused, Request, Response, json_response, text_response

FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
ROOT = "/computeMetadata/v1"
MAX_WAIT_S = 900.0
Mode = Literal["ok", "no-account", "disabled"]


@dataclass(frozen=True)
class Machine:
    """The VM. `account` is the short name or the address of its data-access service account."""

    account: str = "dask-data"
    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)
    mode: Mode = "ok"
    lifetime_s: float = TOKEN_LIFETIME_S
    renew_before_s: float = 300
    """The same token is handed out until it has less left than this, or than half of a shorter life."""
    name: str = "dask-worker-1"
    machine_id: str = "4520031799277581759"
    attributes: dict[str, str] = field(default_factory=dict)
    project_id: str | None = None
    """Of somebody else's VM; None: of this project."""
    names_itself: bool = True
    """False: its identity tokens say nothing of a machine, as those of GKE's workload identity."""


class GoogleMetadata:
    service = "google-metadata"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._changed = threading.Condition()
        self._held = Held(cloud.now)
        self.machine = Machine()

    def change(self, machine: Machine) -> None:
        """Wakes whoever waits for a change."""
        with self._changed:
            self.machine = machine
            self._held.forget()
            self._changed.notify_all()

    def rotate(self) -> None:
        """The next request for a token gets a new one."""
        self._held.forget()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def operation(self, request: Request) -> str:
        parts = [part for part in request.path.split("/") if part]
        if parts[2:4] == ["instance", "service-accounts"]:
            return parts[5] if len(parts) > 5 else "service-account"
        if parts[2:4] == ["instance", "attributes"]:
            return "attribute"
        return parts[-1] if parts else "root"

    def answer(self, request: Request, call: Call) -> Response:
        if request.header("x-forwarded-for"):
            raise Refused(403, "Forbidden", "X-Forwarded-For is not allowed")
        if self.machine.mode == "disabled":
            raise Refused(403, "Forbidden")
        if request.path == "/":
            return text_response("computeMetadata/\n", headers=FLAVOR)
        if request.header("metadata-flavor") != "Google":
            raise Refused(403, "Forbidden", "Missing Metadata-Flavor:Google header.")
        if not request.path.startswith(ROOT):
            raise Refused(404, "Not Found")
        path = request.path.removeprefix(ROOT).rstrip("/")
        if path.startswith("/instance/service-accounts"):
            return self._accounts(path, request, call)
        return self._waited_for(path, request)

    def refusal(self, refused: Refused, request: Request) -> Response:
        return Response(
            refused.status,
            f"<!DOCTYPE html><title>Error {refused.status}</title><p>{refused.message or refused.code}".encode(),
            {**FLAVOR, "Content-Type": "text/html; charset=UTF-8"},
        )

    def _waited_for(self, path: str, request: Request) -> Response:
        """With `wait_for_change` not before the value differs from `last_etag`, or `timeout_sec` is over."""
        asked = request.query
        with self._changed:
            value = self._value(path, asked)
            if asked.get("wait_for_change", "").lower() == "true":
                last = asked.get("last_etag") or _etag(value)
                timeout_s = min(float(asked.get("timeout_sec") or MAX_WAIT_S), MAX_WAIT_S)
                self._changed.wait_for(lambda: self._differs(path, asked, last), timeout_s)
                value = self._value(path, asked)
        content_type = "application/text" if isinstance(value, str) else "application/json"
        body = value if isinstance(value, str) else json.dumps(value)
        return Response(200, body.encode(), {**FLAVOR, "Content-Type": content_type, "ETag": _etag(value)})

    def _differs(self, path: str, asked: dict[str, str], last: str) -> bool:
        if self._cloud.stopping.is_set():
            return True
        try:
            return _etag(self._value(path, asked)) != last
        except Refused:
            return True

    def _value(self, path: str, asked: dict[str, str]) -> Any:
        machine, project = self.machine, self._cloud.project
        texts = {
            "/project/project-id": project.project_id,
            "/project/numeric-project-id": project.number,
            "/universe/universe-domain": "googleapis.com",
            "/instance/zone": f"projects/{project.number}/zones/{project.zone}",
            "/instance/region": f"projects/{project.number}/regions/{project.zone.rpartition('-')[0]}",
            "/instance/id": machine.machine_id,
            "/instance/name": machine.name,
            **{f"/instance/attributes/{name}": value for name, value in machine.attributes.items()},
        }
        if path in texts:
            return texts[path]
        if path == "/instance/attributes":
            recursive = asked.get("recursive", "").lower() == "true"
            return machine.attributes if recursive else "".join(f"{name}\n" for name in machine.attributes)
        if path in ("", "/instance", "/project"):
            return "".join(sorted({name.removeprefix(path).split("/")[1] + "/\n" for name in texts}))
        raise Refused(404, "Not Found")

    def _accounts(self, path: str, request: Request, call: Call) -> Response:
        if self.machine.mode == "no-account":
            raise Refused(404, "Not Found")
        email = self._cloud.project.email(self.machine.account)
        parts = path.split("/")[3:]
        if not parts:
            about = self._about(email)
            recursive = request.query.get("recursive", "").lower() == "true"
            names = f"default/\n{email}/\n"
            return json_response({"default": about, email: about}, headers=FLAVOR) if recursive else _text(names)
        if parts[0] not in ("default", email):
            raise Refused(404, "Not Found")
        call.principal = email
        match parts[1:]:
            case []:
                return json_response(self._about(email), headers=FLAVOR)
            case ["email"]:
                return _text(email)
            case ["scopes"]:
                return _text("".join(f"{scope}\n" for scope in self.machine.scopes))
            case ["token"]:
                return self._token(email, request, call)
            case ["identity"]:
                return _text(self._identity_token(email, request.query))
            case _:
                raise Refused(404, "Not Found")

    def _about(self, email: str) -> dict[str, object]:
        return {"aliases": ["default"], "email": email, "scopes": list(self.machine.scopes)}

    def _identity_token(self, email: str, asked: dict[str, str]) -> str:
        if not asked.get("audience"):
            raise Refused(400, "non-empty audience parameter required")
        machine, project, now = self.machine, self._cloud.project, int(self._cloud.now())
        claims: dict[str, Any] = {
            "aud": asked["audience"],
            "azp": "112233445566778899001",
            "exp": now + int(TOKEN_LIFETIME_S),
            "iat": now,
            "iss": ISSUER,
            "sub": "112233445566778899001",
        }
        if asked.get("format") == "full":
            claims |= {"email": email, "email_verified": True}
            if machine.names_itself:
                claims["google"] = {
                    "compute_engine": {
                        "instance_creation_timestamp": now - 86_400,
                        "instance_id": machine.machine_id,
                        "instance_name": machine.name,
                        "project_id": machine.project_id or project.project_id,
                        "project_number": int(project.number),
                        "zone": project.zone,
                    }
                }
        return self._cloud.identity_tokens.sign(claims)

    def _token(self, email: str, request: Request, call: Call) -> Response:
        if request.method not in ("GET", "POST"):
            raise Refused(405, "Method Not Allowed")
        scopes = request.query.get("scopes", "") or ",".join(self.machine.scopes)
        issued = self._held_or_new(email, scopes)
        call.issued = issued.id
        expires_in = int((issued.expires_at or 0) - self._cloud.now())
        document = {"access_token": issued.token, "expires_in": expires_in, "token_type": "Bearer"}
        return json_response(document, headers=FLAVOR)

    def _held_or_new(self, email: str, scopes: str) -> Issued:
        def issue() -> Issued:
            return self._cloud.ledger.issue_bearer(
                self.service,
                email,
                now=self._cloud.now(),
                lifetime_s=self._cloud.lifetime(self.service, self.machine.lifetime_s),
                details={"scopes": scopes.split(",")},
            )

        return self._held.get(f"{email} {scopes}", issue, renew_before_s=self.machine.renew_before_s)


def with_attribute(machine: Machine, name: str, value: str | None) -> Machine:
    """None removes it."""
    kept = {key: text for key, text in machine.attributes.items() if key != name}
    return replace(machine, attributes=kept if value is None else {**kept, name: value})


def _text(text: str) -> Response:
    return text_response(text, headers={**FLAVOR, "Content-Type": "application/text"})


def _etag(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
