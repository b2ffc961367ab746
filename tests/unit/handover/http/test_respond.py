"""A request becomes a response by one pure function: refused for what it is, else answered by the service it asks."""

from datetime import timedelta

import pytest

from credagent.credentials import CredentialSet
from credagent.handover.http.refusals import RequestRules
from credagent.handover.http.respond import Services, respond
from credagent.secret import Secret
from tests.unit.handover.http.endpoint_sets import HOUR, NOW, aws, google, holding, request

HOST = "127.0.0.1:9817"
TOKEN = Secret("token-of-this-boot")
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
SERVICES = Services(token=TOKEN, google=True, rules=RequestRules(hosts=frozenset({HOST.encode()})))
FULL = holding(aws=aws(), google=google())


def ask(
    path: str,
    *,
    method: str = "GET",
    host: str = HOST,
    admitted: bool = True,
    current: CredentialSet = FULL,
    services: Services = SERVICES,
    after: timedelta = timedelta(0),
) -> tuple[str, int, str]:
    asked = request(path, method, host=host, authorization=TOKEN.reveal(), metadata_flavor="Google")
    service, response = respond(
        asked, uid=1000, admitted=admitted, credential_set=current, services=services, now=NOW + after
    )
    return service, response.status, response.outcome


def test_a_request_is_answered_by_the_service_that_its_path_names() -> None:
    assert ask("/aws/v1/credentials") == ("endpoint", 200, "ok")
    assert ask(TOKEN_PATH) == ("metadata", 200, "ok")
    assert ask("/nothing") == ("metadata", 404, "not-found")


def test_a_handover_that_is_off_is_not_served() -> None:
    nothing = Services(rules=SERVICES.rules)
    assert ask("/aws/v1/credentials", services=nothing) == ("endpoint", 404, "not-found")
    assert ask(TOKEN_PATH, services=nothing) == ("metadata", 404, "not-found")


@pytest.mark.parametrize("path", ["/aws/v1/credentials", TOKEN_PATH, "/"])
def test_what_is_refused_is_refused_whatever_is_asked_for(path: str) -> None:
    assert ask(path, admitted=False) == ("http", 403, "not-allowed")
    assert ask(path, host="evil.example") == ("http", 403, "wrong-host")
    assert ask(path, method="PUT") == ("http", 405, "method")


def test_the_moment_of_the_answer_decides_whether_a_credential_is_valid() -> None:
    for path in ("/aws/v1/credentials", TOKEN_PATH):
        assert [ask(path, after=after)[2] for after in (HOUR - timedelta(seconds=1), HOUR)] == ["ok", "expired"]
