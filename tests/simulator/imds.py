"""EC2 instance metadata, version 2 enforced: a session token by PUT first, 401 without one.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import dataclass, replace
from typing import Literal

from . import sessions, times
from .cloud import Cloud
from .held import Held
from .ledger import Call, Issued
from .web import Refused, Request, Response, json_response, text_response

Mode = Literal["ok", "no-role", "disabled", "hop-limit"]
MAX_TOKEN_TTL_S = 21_600
IDENTITY_ROLE = "aws:ec2-instance"
IDENTITY_PATH = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
ROLE_PATH = "/latest/meta-data/iam/security-credentials"
HOP_LIMIT_SILENCE_S = 60.0
"""How long the answer to PUT does not arrive; every client gives up earlier."""


@dataclass(frozen=True)
class Instance:
    """The machine as its metadata describe it. `role` None: launched without an instance profile."""

    role: str | None = "dask-node"
    mode: Mode = "ok"
    instance_id: str = "i-0c7eda1ba5e0f0011"
    instance_type: str = "m7i.xlarge"
    lifetime_s: float = 21_600
    renew_before_s: float = 300
    """New credentials come once the present ones have less left than this, or than half of a shorter life."""
    user_data: str | None = None
    account_id: str | None = None
    """Of somebody else's instance; None: of this account."""
    identity_role: bool = True


class Imds:
    service = "imds"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._held = Held(cloud.now)
        self._mode_changed = threading.Event()
        self.instance = Instance()

    def change(self, instance: Instance) -> None:
        with self._lock:
            self.instance = instance
            self._held.forget()
            self._mode_changed.set()
            self._mode_changed = threading.Event()

    def rotate(self) -> None:
        """The next request for credentials gets new ones."""
        self._held.forget()

    def operation(self, request: Request) -> str:
        path = request.path.rstrip("/")
        if path == "/latest/api/token":
            return "token"
        if path.startswith(ROLE_PATH):
            return "role" if path == ROLE_PATH else "credentials"
        return path.rpartition("/")[2] or "root"

    def answer(self, request: Request, call: Call) -> Response:
        if self.instance.mode == "disabled":
            raise Refused(403, "Forbidden")
        if request.path == "/latest/api/token":
            return self._token(request)
        self._demand_token(request)
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "Method Not Allowed")
        return self._value(request, call)

    def refusal(self, refused: Refused, request: Request) -> Response:
        body = (
            '<?xml version="1.0" encoding="iso-8859-1"?>\n<html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>{refused.status} - {refused.code}</title></head>"
            f"<body><h1>{refused.status} - {refused.code}</h1></body></html>\n"
        )
        return Response(refused.status, body.encode(), {"Content-Type": "text/html"})

    def _token(self, request: Request) -> Response:
        if request.method != "PUT":
            raise Refused(405, "Method Not Allowed")
        if request.header("x-forwarded-for"):
            raise Refused(403, "Forbidden")
        if self.instance.mode == "hop-limit":
            self._mode_changed.wait(HOP_LIMIT_SILENCE_S)
        ttl = request.header("x-aws-ec2-metadata-token-ttl-seconds")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= MAX_TOKEN_TTL_S:
            raise Refused(400, "Bad Request")
        token = secrets.token_urlsafe(40) + "=="
        with self._lock:
            self._tokens[token] = self._cloud.now() + int(ttl)
        return text_response(token, headers={"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": ttl})

    def _demand_token(self, request: Request) -> None:
        good_until = self._tokens.get(request.header("x-aws-ec2-metadata-token"))
        if good_until is None or self._cloud.now() >= good_until:
            raise Refused(401, "Unauthorized")

    def _value(self, request: Request, call: Call) -> Response:
        path = request.path.rstrip("/")
        instance, region = self.instance, self._cloud.account.region
        texts = {
            "/latest/meta-data/placement/region": region,
            "/latest/meta-data/placement/availability-zone": region + "a",
            "/latest/meta-data/instance-id": instance.instance_id,
            "/latest/meta-data/instance-type": instance.instance_type,
            "/latest/meta-data/services/domain": "amazonaws.com",
            "/latest/meta-data/services/partition": "aws",
        }
        if path in texts:
            return text_response(texts[path])
        if path == "/latest/user-data" and instance.user_data is not None:
            return Response(200, instance.user_data.encode(), {"Content-Type": "application/octet-stream"})
        if path == "/latest/dynamic/instance-identity/document":
            return text_response(json.dumps(self._document(), indent=2))
        if path.startswith(ROLE_PATH) and instance.role is not None and instance.mode != "no-role":
            return self._role(path, instance.role, call)
        if path == IDENTITY_PATH and instance.identity_role:
            return _credential_document(self._identity(), call)
        raise Refused(404, "Not Found")

    def _role(self, path: str, role: str, call: Call) -> Response:
        if path == ROLE_PATH:
            return text_response(role)
        if path != f"{ROLE_PATH}/{role}":
            raise Refused(404, "Not Found")
        return _credential_document(self._credentials(role), call)

    def _identity(self) -> Issued:
        """The role that every instance has, which nobody can assume: its session's name is the instance."""
        account, name = self.instance.account_id or self._cloud.account.account_id, self.instance.instance_id

        def issue() -> Issued:
            return self._cloud.ledger.issue_aws(
                "instance-identity",
                f"arn:aws:sts::{account}:assumed-role/{IDENTITY_ROLE}/{name}",
                now=self._cloud.now(),
                lifetime_s=self._cloud.lifetime(self.service, self.instance.lifetime_s),
                user_id=f"{account}:{IDENTITY_ROLE}:{name}",
            )

        return self._held.get(IDENTITY_ROLE, issue, renew_before_s=self.instance.renew_before_s)

    def _credentials(self, role_name: str) -> Issued:
        role = self._cloud.account.roles.get(role_name)
        if role is None:
            raise Refused(404, "Not Found")

        def issue() -> Issued:
            lifetime_s = self._cloud.lifetime(self.service, self.instance.lifetime_s)
            name = self.instance.instance_id
            return sessions.role_session(self._cloud, self.service, role, name, lifetime_s=lifetime_s)

        return self._held.get(role.name, issue, renew_before_s=self.instance.renew_before_s)

    def _document(self) -> dict[str, object]:
        return {
            "accountId": self.instance.account_id or self._cloud.account.account_id,
            "architecture": "x86_64",
            "availabilityZone": self._cloud.account.region + "a",
            "imageId": "ami-5fb8c835",
            "instanceId": self.instance.instance_id,
            "instanceType": self.instance.instance_type,
            "pendingTime": "2026-11-01T00:00:00Z",
            "privateIp": "10.158.112.84",
            "region": self._cloud.account.region,
            "version": "2017-09-30",
        }


def _credential_document(issued: Issued, call: Call) -> Response:
    call.issued, call.principal = issued.id, issued.principal
    document = {
        "Code": "Success",
        "LastUpdated": times.aws(issued.issued_at),
        "Type": "AWS-HMAC",
        "AccessKeyId": issued.key_id,
        "SecretAccessKey": issued.secret,
        "Token": issued.token,
        "Expiration": times.aws(issued.expires_at or 0),
    }
    return replace(json_response(document), headers={"Content-Type": "text/plain"})
