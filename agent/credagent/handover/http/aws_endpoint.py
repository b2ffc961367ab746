"""AWS container credentials over loopback: all that an SDK signs with in one answer, or an error that says why not.

Follows "Container credential provider" in the AWS SDKs reference guide. The document's fields are vendor_documents'.
"""

from datetime import datetime
from functools import lru_cache

from credagent.credentials import AwsCredentials, Empty, Held, SlotContent, ends_at
from credagent.handover.http.refusals import refuse_without_token
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse, document, refusal
from credagent.secret import Secret
from credagent.worker_environment.vendor_documents import container_json

PATH = "/aws/v1/credentials"

WITHDRAWN = refusal(404, "withdrawn", "the AWS credentials of this machine were withdrawn")
NOTHING = refusal(404, "no-credentials", "this machine has no AWS credentials")
NOT_YET = refusal(503, "no-credentials", "the AWS credentials of this machine are not to be had at the moment")
EXPIRED = refusal(503, "expired", "the AWS credentials of this machine expired and could not be renewed")
LONG_TERM = refusal(503, "long-term", "a long-term AWS key has no session token: use the environment handover for it")


def respond(request: HttpRequest, content: SlotContent, now: datetime, token: Secret) -> HttpResponse:
    """Answer one request with what the aws slot holds, to whoever shows `token`."""
    refused = refuse_without_token(request, token)
    if refused is not None:
        return refused
    if isinstance(content, Empty):
        return absent(content)
    ends, response = _prepared(content)
    return response if ends is None or now < ends else EXPIRED


@lru_cache(maxsize=1)  # the same for all who ask until it is renewed
def _prepared(held: Held) -> tuple[datetime | None, HttpResponse]:
    """Return when credentials end, and the response with them until then."""
    body = container_json(held) if is_complete(held) else None
    return ends_at(held), LONG_TERM if body is None else document(body)


def is_complete(held: Held) -> bool:
    """Tell whether an SDK gets all that it signs with: an empty part would be taken, and sent, as it is."""
    aws = held.credentials
    return isinstance(aws, AwsCredentials) and bool(aws.access_key_id and aws.secret_access_key and aws.session_token)


def absent(content: Empty) -> HttpResponse:
    """Return why an empty slot gives no credentials."""
    if content.withdrawn:
        return WITHDRAWN
    return NOTHING if content.may_fall_back else NOT_YET
