"""Container credentials: of an ECS task by a path, of an EKS pod identity by a path and an authorization token.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from . import sessions, times
from .cloud import Cloud
from .held import Held
from .ledger import Call, Issued
from .web import Refused, Request, Response, json_response

RELATIVE_URI = "/v2/credentials/2f1b6d4e-7b1f-4c39-8a44-0b7c5d0a9e11"
POD_URI = "/v1/credentials"


@dataclass(frozen=True)
class Task:
    """What runs in the container. `role` None: the task has none."""

    role: str | None = "dask-node"
    pod_token: str = "pod-identity-token"
    lifetime_s: float = 21_600
    renew_before_s: float = 300


class Container:
    service = "container"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._held = Held(cloud.now)
        self.task = Task()

    def change(self, task: Task) -> None:
        self.task = task
        self._held.forget()

    def rotate(self) -> None:
        self._held.forget()

    def operation(self, request: Request) -> str:
        return {RELATIVE_URI: "task", POD_URI: "pod"}.get(request.path, "Unknown")

    def answer(self, request: Request, call: Call) -> Response:
        if call.operation == "Unknown" or request.method != "GET" or self.task.role is None:
            raise Refused(404, "NotFound", "no such credentials")
        if call.operation == "pod":
            self._demand_token(request)
        issued = self._credentials(self.task.role)
        call.issued, call.principal = issued.id, issued.principal
        document = {
            "AccessKeyId": issued.key_id,
            "SecretAccessKey": issued.secret,
            "Token": issued.token,
            "Expiration": times.aws(issued.expires_at or 0),
        }
        role_arn = self._cloud.account.role_arn(self.task.role)
        more = {"AccountId": self._cloud.account.account_id} if call.operation == "pod" else {"RoleArn": role_arn}
        return json_response({**document, **more})

    def refusal(self, refused: Refused, request: Request) -> Response:
        return json_response({"code": refused.code, "message": refused.message}, refused.status)

    def _demand_token(self, request: Request) -> None:
        if not hmac.compare_digest(request.header("authorization").encode(), self.task.pod_token.encode()):
            raise Refused(401, "InvalidTokenException", "the authorization token is missing or wrong")

    def _credentials(self, role_name: str) -> Issued:
        role = self._cloud.account.roles.get(role_name)
        if role is None:
            raise Refused(400, "AccessDeniedException", "the role does not exist")

        def issue() -> Issued:
            lifetime_s = self._cloud.lifetime(self.service, self.task.lifetime_s)
            return sessions.role_session(self._cloud, self.service, role, "task", lifetime_s=lifetime_s)

        return self._held.get(role.name, issue, renew_before_s=self.task.renew_before_s)
