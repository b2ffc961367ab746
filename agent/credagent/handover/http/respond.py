"""From a request and a credential set to a response: a pure function. Bytes and connections are not here."""

from datetime import datetime

from msgspec import Struct

from credagent.credentials import CredentialSet
from credagent.handover.http import aws_endpoint, google_metadata_server
from credagent.handover.http.refusals import NOT_FOUND, RequestRules, refuse
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse
from credagent.secret import Secret

REFUSED = "http"
"""What the metrics call a request that no service has seen."""


class Services(Struct, frozen=True, kw_only=True):
    """What is served. `token` None: no AWS endpoint; `google` False: no Google metadata server."""

    token: Secret | None
    google: bool
    project: str = ""
    rules: RequestRules


def respond(
    request: HttpRequest, *, admitted: bool, credential_set: CredentialSet, services: Services, now: datetime
) -> tuple[str, HttpResponse]:
    """Return the response to `request`, and the name of the service that gave it, for the metrics."""
    refused = refuse(request, services.rules, admitted=admitted)
    if refused is not None:
        return REFUSED, refused
    if request.path == aws_endpoint.PATH:
        if services.token is None:
            return "endpoint", NOT_FOUND
        return "endpoint", aws_endpoint.respond(request, credential_set.aws, now, services.token)
    if not services.google:
        return "metadata", NOT_FOUND
    return "metadata", google_metadata_server.respond(request, credential_set.google, now, services.project)
