"""The page Credentials: what it says of each machine, what it keeps to itself; no text of a worker is markup."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from credagent.dask_cluster import credentials_page
from tests.canary import CANARY

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ARN = "arn:aws:sts::123456789012:assumed-role/analysts/ana"
REFUSED = {
    "code": "access-denied",
    "message": f"User: {ARN} is not authorized",
    "hint": f"let {ARN} assume the role, or ask ana@example.org about 123456789012",
    "at": "2026-11-30T11:59:00Z",
}
LONG = "k" * 1600  # as keys are
AWS = {
    "origin": "bundle",
    "principal": ARN,
    "expires_at": "2026-11-30T13:05:30Z",
    "required": True,
    "last_error": None,
}
EMPTY = {"origin": "none", "principal": None, "expires_at": None, "required": False, "last_error": None}


def worker(name: str, host: str = "node-1", generation: int | None = 4, **slots: Any) -> dict[str, Any]:
    agent = {
        "state": "ready",
        "generation": 4,
        "public_key": f"{host}{LONG}",
        "slots": {"aws": AWS, "google": EMPTY, **slots},
        "bundle": {"sender": "1f3a", "refused": []},
    }
    return {"host": host, "address": f"tcp://{name}:1", "name": name, "generation": generation, "agent": agent}


def overview(*answers: dict[str, Any], principals: bool = False) -> dict[str, Any]:
    return credentials_page.overview(answers, {"sender": "1f3a", "ended": ""}, NOW, principals=principals)


def test_a_machine_is_told_once_with_each_of_its_processes() -> None:
    document = overview(worker("a"), worker("b", generation=3), worker("c", host="node-2"))
    assert [(machine["host"], len(machine["processes"])) for machine in document["machines"]] == [
        ("node-1", 2),
        ("node-2", 1),
    ]
    (slot,) = document["machines"][0]["slots"]
    assert (slot["origin"], slot["identity"], slot["expires_in_s"]) == ("bundle", "sender 1f3a", 3930)
    page = credentials_page.as_html(document)
    assert "1 h 5 min" in page
    assert "a: 4, b: 3 of 4" in page, "who has not taken the newest generation is seen"


def test_whose_credentials_they_are_is_told_only_where_the_configuration_says_so() -> None:
    told = (worker("a", aws=AWS | {"last_error": REFUSED}),)
    for said in (json.dumps(overview(*told)), credentials_page.as_html(overview(*told))):
        assert "access-denied" in said
        assert "assume the role" in said, "the remedy stays"
        assert not any(part in said for part in (ARN, "123456789012", "ana@"))
    assert ARN in credentials_page.as_html(overview(*told, principals=True))


AWS_SAYS, GOOGLE_SAYS = "AWS says that key 1f3a belongs to ", "Google says that key 1f3a belongs to "


@pytest.mark.parametrize(
    ("ground", "left"),
    [
        (f"{AWS_SAYS}i-0a11ce0000000001 in account 123456789012", f"{AWS_SAYS}i-0a11ce0000000001…"),
        (f"{AWS_SAYS}i-0a11ce0000000001 in account 123456789012 (role r; whoever has it…)", f"{AWS_SAYS}…"),
        (f"{AWS_SAYS}user/ana in account 123456789012", f"{AWS_SAYS}…"),
        (
            f"{GOOGLE_SAYS}vm-1 (452) in project lab, zone z (a@lab.iam.gserviceaccount.com)",
            f"{GOOGLE_SAYS}vm-1 (452)…",
        ),
        (f"{GOOGLE_SAYS}whoever acts as a@lab.iam.gserviceaccount.com (no machine is named)", f"{GOOGLE_SAYS}…"),
        ("<b>" + "x" * 10_000, "…"),
    ],
)
def test_why_a_key_is_believed_is_told_without_account_role_project_or_person(ground: str, left: str) -> None:
    forwarder = {"sender": "1f3a", "ended": "", "grounds": {credentials_page.claim(f"node-1{LONG} tcp://a"): ground}}
    answers = (worker("a"), worker("c", host="node-2"))
    bare = credentials_page.overview(answers, forwarder, NOW, principals=False)
    assert [machine["ground"] for machine in bare["machines"]] == [left, ""]
    assert "believed because" in credentials_page.as_html(bare)
    named = credentials_page.overview(answers, forwarder, NOW, principals=True)
    assert named["machines"][0]["ground"] == ground[:300]
    assert "<b>" not in credentials_page.as_html(named)


def test_a_key_that_somebody_claims_from_elsewhere_is_not_believed_for_it() -> None:
    grounds = {credentials_page.claim(f"node-1{LONG} tcp://a"): f"{AWS_SAYS}i-0a11ce0000000001 in account 123456789012"}
    forwarder = {"sender": "1f3a", "grounds": grounds}
    document = credentials_page.overview((worker("thief"),), forwarder, NOW, principals=True)
    assert document["machines"][0]["ground"] == ""
    assert "believed because" not in credentials_page.as_html(document)
    assert "believed because" not in credentials_page.as_html(
        credentials_page.overview((worker("a"),), {"grounds": ["x"]}, NOW, principals=True)
    )


def test_a_forwarder_that_is_away_is_told_with_since_when_nobody_forwards() -> None:
    since = "2026-11-30T11:58:00Z"
    forwarder = {"sender": "1f3a", "ended": "", "away_since": since}
    document = credentials_page.overview((worker("a"),), forwarder, NOW, principals=False)
    assert document["forwarder"]["away_since"] == since
    assert f"1 machine, nobody has forwarded since {since}; until then it was sender 1f3a" in credentials_page.as_html(
        document
    )
    assert "forwarded by sender 1f3a" in credentials_page.as_html(overview(worker("a")))


def test_the_configuration_of_dask_says_so() -> None:
    dask = pytest.importorskip("dask")

    class Scheduler:
        def __init__(self) -> None:
            self.workers: dict[str, Any] = {}

    async def status() -> dict[str, Any]:
        return worker("scheduler")

    async def said() -> str:
        answers = credentials_page._Answers(Scheduler(), status)
        return json.dumps(await answers.document())

    assert ARN not in asyncio.run(said())
    with dask.config.set({credentials_page.PRINCIPALS: True}):
        assert ARN in asyncio.run(said())


def test_what_is_wrong_comes_first_with_its_remedy() -> None:
    untrusting = worker("b", host="node-2")
    untrusting["agent"]["bundle"]["refused"] = (
        {"code": "untrusted-sender", "hint": "run `credagent trust …`"},
    )  # as Dask's messages bring lists
    absent = {"host": "node-3", "address": "tcp://c:1", "name": "c", "fault": "no-agent", "hint": "no such file"}
    silent = {"address": "tcp://d:1", "name": "d", "fault": "silent"}
    own = {"host": "here", "address": "scheduler", "name": "scheduler", "fault": "own-process", "hint": "left alone"}
    document = overview(worker("a"), own, untrusting, absent, silent)
    assert [machine["host"] for machine in document["machines"]] == ["node-2", "node-3", "tcp://d:1", "here", "node-1"]
    page = credentials_page.as_html(document)
    assert page.count('class="wrong"') == 3
    assert "credagent trust" in page


def test_a_refusal_is_forgotten_when_a_later_bundle_was_taken() -> None:
    refusals = [{"code": "untrusted-sender", "hint": "", "at": "2026-11-30T11:00:00Z"}]
    machines = []
    for issued_at in ("2026-11-30T10:00:00Z", "2026-11-30T11:30:00Z"):
        machines.append(worker("a"))
        machines[-1]["agent"]["bundle"] = {"issued_at": issued_at, "refused": refusals}
    assert [overview(machine)["machines"][0]["refused"] is None for machine in machines] == [False, True]


def test_no_text_of_a_worker_is_markup_and_none_is_long() -> None:
    hostile = worker("<script>alert(1)</script>", host="<b>" + "x" * 10_000 + "\n\x1b[31m")
    page = credentials_page.as_html(overview(hostile))
    assert "<script" not in page
    assert "<b>x" not in page
    assert "\x1b" not in page
    assert len(page) < 10_000


def test_rubbish_is_a_machine_that_says_nothing() -> None:
    for rubbish in ({"agent": 7}, {"agent": {"slots": [1], "bundle": {"refused": "x"}}}, {"host": ["x"], "name": None}):
        (machine,) = overview(rubbish)["machines"]
        assert machine["slots"] == []
    odd = worker("a", aws={"origin": 1, "expires_at": "soon", "last_error": "x"}, generation=True)
    assert "none" in credentials_page.as_html(overview(odd))


def test_what_a_field_nobody_asked_for_holds_is_not_shown() -> None:
    carrying = worker("a", aws=AWS | {"secret": CANARY})
    carrying["agent"]["environment"] = {"AWS_SECRET_ACCESS_KEY": CANARY}
    document = overview(carrying, principals=True)
    assert CANARY not in json.dumps(document) + credentials_page.as_html(document)
