"""The Google metadata server: every path that client libraries ask, with the header, and no token that has expired."""

from datetime import datetime, timedelta

import pytest

from credagent.credentials import CredentialSet, Empty, SlotContent
from credagent.handover.http.google_metadata_server import respond
from credagent.handover.http.response import HttpResponse
from credagent.secret import Secret
from tests.unit.handover.http.endpoint_sets import HOUR, NOW, aws, body, decoded, google, holding, request

V1 = "/computeMetadata/v1"
ACCOUNTS = f"{V1}/instance/service-accounts"
EMAIL = "data@project.iam.gserviceaccount.com"
FULL = holding(google=google())
DESCRIBED = {"aliases": ["default"], "email": EMAIL, "scopes": ["scope-one", "scope-two"]}


def ask(
    target: str,
    current: CredentialSet = FULL,
    *,
    now: datetime = NOW,
    method: str = "GET",
    flavor: str = "Google",
    project: str = "",
) -> HttpResponse:
    headers = {"metadata_flavor": flavor} if flavor else {}
    return respond(request(target, method, **headers), current.google, now, project)


@pytest.mark.parametrize("account", ["default", EMAIL, EMAIL.replace("@", "%40")])
@pytest.mark.parametrize("query", ["", "?scopes=a,b", "?audience=https://x/"])
def test_a_token_is_answered_by_alias_and_by_email(account: str, query: str) -> None:
    answer = ask(f"{ACCOUNTS}/{account}/token{query}")
    assert decoded(answer) == {"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}
    assert b"Content-Type: application/json\r\n" in answer.payload
    assert b"Metadata-Flavor: Google\r\n" in answer.payload


def test_a_token_may_be_posted_for_and_nothing_else() -> None:
    assert ask(f"{ACCOUNTS}/default/token", method="POST").status == 200
    assert ask(f"{V1}/project/project-id", method="POST").status == 405
    assert ask("/", method="POST").status == 405


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"{ACCOUNTS}/default/?recursive=true", DESCRIBED),
        (f"{ACCOUNTS}/default?recursive=True", DESCRIBED),
        (f"{ACCOUNTS}/{EMAIL}/?recursive=true", DESCRIBED),
        (f"{ACCOUNTS}/?recursive=true", {"default": DESCRIBED, EMAIL: DESCRIBED}),
    ],
)
def test_an_account_is_described(target: str, expected: object) -> None:
    assert decoded(ask(target)) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"{ACCOUNTS}/", f"default/\n{EMAIL}/\n"),
        (f"{ACCOUNTS}/default/?xrecursive=true&recursive=", "aliases\nemail\nscopes\ntoken\n"),
        (f"{ACCOUNTS}/default/", "aliases\nemail\nscopes\ntoken\n"),
        (f"{ACCOUNTS}/default/email", EMAIL),
        (f"{ACCOUNTS}/default/scopes", "scope-one\nscope-two\n"),
        (f"{ACCOUNTS}/default/aliases", "default\n"),
        (f"{V1}/project/project-id", "project"),
        (f"{V1}/universe/universe-domain", "googleapis.com"),
        (f"{V1}/universe/universe_domain", "googleapis.com"),
        (f"{V1}/", "instance/\nproject/\nuniverse/\n"),
    ],
)
def test_texts_are_as_the_real_server_writes_them(target: str, expected: str) -> None:
    answer = ask(target)
    assert (answer.status, body(answer).decode()) == (200, expected)


def test_the_root_says_that_this_is_google_even_without_credentials() -> None:
    answer = ask("/", holding(), flavor="")
    assert answer.status == 200
    assert b"Metadata-Flavor: Google\r\n" in answer.payload


@pytest.mark.parametrize("flavor", ["", "google2", "Amazon"])
@pytest.mark.parametrize("target", [f"{ACCOUNTS}/default/token", f"{V1}/project/project-id", f"{V1}/"])
def test_the_header_is_demanded(flavor: str, target: str) -> None:
    assert ask(target, flavor=flavor).outcome == "no-metadata-flavor"


@pytest.mark.parametrize(
    "target",
    [
        f"{ACCOUNTS}/default/identity?audience=x",
        f"{ACCOUNTS}/other@project.iam.gserviceaccount.com/token",
        f"{ACCOUNTS}/default/token/more",
        f"{V1}/project/numeric-project-id",
        f"{V1}/instance/attributes/ssh-keys",
        "/latest/meta-data",
        "/computeMetadata/v2",
        f"{V1}/../v1/project/project-id",
    ],
)
def test_what_the_agent_does_not_know_is_not_there(target: str) -> None:
    assert ask(target).status == 404


@pytest.mark.parametrize(
    ("content", "status", "outcome"),
    [
        (Empty(), 404, "no-credentials"),
        (Empty(may_fall_back=False), 503, "no-credentials"),
        (Empty(may_fall_back=False, withdrawn=True), 404, "withdrawn"),
        (google(timedelta(0)), 503, "expired"),
        (google(HOUR, bundle_ends_in=timedelta(0)), 503, "expired"),
        (aws(), 503, "no-credentials"),
    ],
)
def test_what_is_not_complete_and_valid_is_an_error(content: SlotContent, status: int, outcome: str) -> None:
    answer = ask(f"{ACCOUNTS}/default/token", holding(google=content))
    assert (answer.status, answer.outcome) == (status, outcome)


def test_a_token_ends_with_the_bundle_that_brought_it() -> None:
    answer = ask(f"{ACCOUNTS}/default/token", holding(google=google(HOUR, bundle_ends_in=timedelta(minutes=10))))
    assert decoded(answer)["expires_in"] == 600


def test_expiry_is_judged_at_every_answer() -> None:
    assert decoded(ask(f"{ACCOUNTS}/default/token", now=NOW + timedelta(minutes=59)))["expires_in"] == 60
    assert ask(f"{ACCOUNTS}/default/token", now=NOW + HOUR).status == 503


def test_each_moment_and_each_set_is_answered_anew() -> None:
    def answered(current: CredentialSet, now: datetime) -> object:
        answer = ask(f"{ACCOUNTS}/default/token", current, now=now)
        return (
            (decoded(answer)["access_token"], decoded(answer)["expires_in"]) if answer.status == 200 else answer.status
        )

    later, renewed = NOW + timedelta(minutes=1), holding(2, google=google(access_token=Secret("ya29.next")))
    assert answered(FULL, NOW) == ("ya29.token", 3600)
    assert answered(FULL, later) == ("ya29.token", 3540)
    assert answered(renewed, later) == ("ya29.next", 3540)
    assert answered(renewed, NOW + HOUR) == 503
    assert answered(holding(3, google=Empty(withdrawn=True)), later) == 404
    assert answered(FULL, NOW) == ("ya29.token", 3600)


def test_the_configured_project_wins_and_an_unknown_one_is_not_invented() -> None:
    assert body(ask(f"{V1}/project/project-id", project="configured")) == b"configured"
    assert ask(f"{V1}/project/project-id", holding(google=google(project=""))).status == 404


def test_a_token_without_a_known_account_works_under_the_alias() -> None:
    nameless = holding(google=google(email="", scopes=()))
    assert decoded(ask(f"{ACCOUNTS}/default/?recursive=true", nameless)) == {
        "aliases": ["default"],
        "email": "default",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }
    assert ask(f"{ACCOUNTS}/default/token", nameless).status == 200
    assert body(ask(f"{ACCOUNTS}/", nameless)) == b"default/\n"
