"""Google's IAM Credentials service: access tokens of service accounts that the caller may impersonate.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
"""

from __future__ import annotations

import json
import re

from . import google_api, times
from .cloud import Cloud
from .ledger import Call
from .web import Refused, Request, Response, json_response

PATH = re.compile(r"/v1/projects/-/serviceAccounts/(?P<email>[^/:]+):generateAccessToken")
MAX_LIFETIME_S = 3600.0


class GoogleIam:
    service = "google-iam"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def operation(self, request: Request) -> str:
        return "GenerateAccessToken" if PATH.fullmatch(request.path) else "Unknown"

    def answer(self, request: Request, call: Call) -> Response:
        found = PATH.fullmatch(request.path)
        if found is None or request.method != "POST":
            raise Refused(404, "NOT_FOUND", "Method not found.")
        caller = google_api.bearer(request, self._cloud, call)
        target = found["email"]
        asked = json.loads(request.body or b"{}")
        call.details.update(target=target, scopes=asked.get("scope", []), lifetime=asked.get("lifetime"))
        project = self._cloud.project
        if target not in project.service_accounts:
            raise Refused(404, "NOT_FOUND", "Not found; Gaia id not found for email " + target)
        if not project.may_impersonate(caller.principal, target):
            message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise Refused(403, "PERMISSION_DENIED", message)
        issued = self._cloud.ledger.issue_bearer(
            "impersonation",
            target,
            now=self._cloud.now(),
            lifetime_s=self._cloud.lifetime(self.service, _lifetime_s(asked)),
            source=caller.id,
            details={"scopes": asked["scope"]},
        )
        call.issued = issued.id
        return json_response({"accessToken": issued.token, "expireTime": times.aws(issued.expires_at or 0)})

    def refusal(self, refused: Refused, request: Request) -> Response:
        return google_api.error(refused)


def _lifetime_s(asked: dict[str, object]) -> float:
    text = str(asked.get("lifetime") or "3600s")
    if not asked.get("scope"):
        raise Refused(400, "INVALID_ARGUMENT", "scope is required")
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_LIFETIME_S:
        raise Refused(400, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600 seconds.")
    return seconds
