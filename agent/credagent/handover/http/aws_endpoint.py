"""AWS container credentials over loopback: one atomic answer per request, from memory, to whoever has the token.

Follows "Container credential provider" in the AWS SDKs reference guide. Who may connect is the server's business,
how credentials look on the wire is worker_environment/vendor_documents'.
"""

import hmac
from collections.abc import Callable
from datetime import datetime

from credagent.credentials import AwsCredentials, CredentialSet, Empty, Held, ends_at
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, document, refusal
from credagent.secret import Secret
from credagent.worker_environment.vendor_documents import container_json

PATH = "/aws/v1/credentials"

UNAUTHORIZED = refusal(401, "wrong-token", "the Authorization header does not hold the token of this machine's agent")
WRONG_METHOD = refusal(405, "method", "only GET is answered", headers={"Allow": "GET"})
WITHDRAWN = refusal(404, "withdrawn", "the AWS credentials of this machine were withdrawn")
NOTHING = refusal(404, "no-credentials", "this machine has no AWS credentials")
NOT_YET = refusal(503, "no-credentials", "the AWS credentials of this machine are not to be had at the moment")
EXPIRED = refusal(503, "expired", "the AWS credentials of this machine expired and could not be renewed")
LONG_TERM = refusal(503, "long-term", "a long-term AWS key has no session token: use the environment handover for it")


class AwsEndpoint:
    """Answers AWS SDKs. Never a 200 without complete credentials that are still valid."""

    def __init__(self, source: Callable[[], CredentialSet], token: Secret, now: Callable[[], datetime]) -> None:
        """`source` gives the set in force, `now` the wall clock."""
        self._source, self._now = source, now
        self._token = token.reveal().encode()
        self._held: Held | None = None  # what the ready answer was made of; compared by identity, since sets are whole
        self._ready = NOTHING
        self._ends_at: datetime | None = None

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one request for the credentials in force."""
        if request.method != b"GET":
            return WRONG_METHOD
        # Constant time: a wrong token tells nothing about how much of it was right.
        if not hmac.compare_digest(request.headers.get(b"authorization", b""), self._token):
            return UNAUTHORIZED
        content = self._source().aws
        if not isinstance(content, Held):
            return _absent(content)
        if content is not self._held:
            self._prepare(content)
        if self._ends_at is not None and self._now() >= self._ends_at:
            return EXPIRED
        return self._ready

    def _prepare(self, held: Held) -> None:
        body = container_json(held) if _complete(held) else None
        self._ready = LONG_TERM if body is None else document(body)
        self._ends_at = ends_at(held)
        self._held = held


def _complete(held: Held) -> bool:
    """Tell whether an SDK gets all that it signs with: an empty key would be taken, and sent, as it is."""
    aws = held.credentials
    return isinstance(aws, AwsCredentials) and bool(aws.access_key_id and aws.secret_access_key and aws.session_token)


def _absent(content: Empty) -> HttpResponse:
    if content.withdrawn:
        return WITHDRAWN
    return NOTHING if content.may_fall_back else NOT_YET
