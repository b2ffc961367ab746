"""From a request and a credential set to a response: a pure function. Bytes and connections are not here."""

from datetime import datetime

from msgspec import Struct

from credagent.credentials import AwsCredentials, CredentialSet, Empty, Held
from credagent.handover.http import aws_endpoint, ec2_metadata_server, google_metadata_server
from credagent.handover.http.ec2_metadata_server import Ec2Metadata
from credagent.handover.http.refusals import NOT_FOUND, RequestRules, refuse
from credagent.handover.http.request import HttpRequest
from credagent.handover.http.response import HttpResponse
from credagent.secret import Secret

REFUSED = "http"
"""What the metrics call a request that no service has seen."""


class Services(Struct, frozen=True, kw_only=True):
    """What is served on one way to the listener: direct, or intercepted.

    `token` None: no AWS endpoint. `google` False: no Google metadata server. `ec2` None: no EC2 metadata server.
    """

    rules: RequestRules
    token: Secret | None = None
    google: bool = False
    project: str = ""
    region: str = ""
    ec2: Ec2Metadata | None = None


def respond(
    request: HttpRequest,
    *,
    uid: int,
    admitted: bool,
    credential_set: CredentialSet,
    services: Services,
    now: datetime,
    machine_region: str = "",
) -> tuple[str, HttpResponse]:
    """Return the response to `request`, and the name of the service that gave it, for the metrics.

    `uid` opened the connection, and may ask at this moment where `admitted`. `machine_region`: the AWS region that is
    told where neither configuration nor credentials name one.
    """
    refused = refuse(request, services.rules, admitted=admitted)
    if refused is not None:
        return REFUSED, refused
    if request.path == aws_endpoint.PATH:
        if services.token is None:
            return "endpoint", NOT_FOUND
        return "endpoint", aws_endpoint.respond(request, credential_set.aws, now, services.token)
    if services.ec2 is not None and request.path.startswith(ec2_metadata_server.LATEST):
        region = services.region or _region_of(credential_set) or machine_region
        return "ec2-metadata", ec2_metadata_server.respond(
            request, credential_set.aws, now, services.ec2, uid=uid, region=region
        )
    if not services.google or (services.ec2 is not None and not _is_google(credential_set)):
        return "metadata", NOT_FOUND
    return "metadata", google_metadata_server.respond(request, credential_set.google, now, services.project)


def _is_google(credential_set: CredentialSet) -> bool:
    """Tell whether an intercepted client is to find a Google metadata server.

    Its clients take whatever answers with the right header for Google, and insist on a token then: on a machine that
    has nothing to do with Google, they are told by a plain 404 that they are not there.
    """
    content = credential_set.google
    return not (isinstance(content, Empty) and content.may_fall_back)


def _region_of(credential_set: CredentialSet) -> str:
    match credential_set.aws:
        case Held(credentials=AwsCredentials(region=region)):
            return region
        case _:
            return ""
