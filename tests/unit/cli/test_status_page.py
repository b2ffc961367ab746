"""What a person reads of a status: whole pages, and the line that each situation adds."""

import re
from typing import Any

import pytest

from credagent.cli.status_page import View, failing, page, slot_page, span
from tests.unit.cli.status_documents import ANA, GRANTED, NODE, NOW, bundle, error, refusal, slot, status, worker

HELD = slot("bundle", principal=ANA, expires_at="2026-11-30T21:53:03Z")


def shown(document: dict[str, Any], width: int = 0, *, colour: bool = False) -> str:
    return "\n".join(page(document, View(NOW, width, colour=colour, user_name=lambda uid: f"user{uid}")))


def test_the_page_of_a_machine_that_does_its_work() -> None:
    machine = slot(
        "google-metadata", principal="data@lab.iam", expires_at="2026-11-30T20:30:00Z", renew_at="2026-11-30T20:10:00Z"
    )
    workers = [worker(998), worker(999), worker(1001, role="scheduler")]
    document = status(aws=HELD, google=machine, environment=slot("bundle", names=["DB", "HOST"]), workers=workers)
    assert shown(document, 80).splitlines() == [
        "✓ ready since 19:36:00 UTC (12 min), lab",
        "",
        f"aws         {ANA}",
        "            forwarded by ana@laptop · ends in 2 h 5 min (21:53:03 UTC)",
        "            only ana@laptop renews it · then nothing (fallback absent)",
        "google      data@lab.iam",
        "            this machine's service account · ends in 42 min (20:30:00 UTC)",
        "            renewed in 22 min (20:10:00 UTC)",
        "environment DB, HOST",
        "            forwarded by ana@laptop · has no end of its own",
        "",
        "bundle      from ana@laptop (8f79def191ea3bf9) · sealed 8 min ago · over file",
        "            ends in 29 d 23 h (2026-12-30 19:40:00 UTC)",
        "workers     3 of 3 have generation 4",
        "            PID   USER      ROLE       GENERATION  SINCE",
        "            998   user1000  worker     4           10 min ago",
        "            999   user1000  worker     4           10 min ago",
        "            1001  user1000  scheduler  4           10 min ago",
        "key         4aa2275fc00bfd5b (credagent public-key)",
        "agent       0.1.0, pid 881, up 2 h 5 min · 28.4 MB private",
    ]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_unless_one_word_is(width: int) -> None:
    failed = error("access-denied", "the service denied access", "does the policy allow this principal to do it?")
    document = status(
        "degraded", aws={**HELD, "last_error": failed}, bundle=bundle(refused=[refusal("empty", "x " * 90)])
    )
    for line in shown(document, width).splitlines():
        assert len(line) <= width or len(line.split()) == 1


def test_styles_are_the_only_difference_that_colour_makes() -> None:
    document = status(aws=HELD, workers=[worker(1, generation=3)])
    assert "\x1b[" not in shown(document, 80)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown(document, 80, colour=True)) == shown(document, 80)


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (
            status(
                "degraded",
                bundle=bundle(None, refused=[refusal("wrong-audience", "…", "seal with --audience lab")]),
                aws=slot("aws-metadata", principal=NODE),
                problems=["wrong-audience"],
            ),
            [
                "✗ degraded since 19:36:00 UTC (12 min), lab",
                f"  ✗ the sender's bundle was refused (wrong-audience): tasks run as {NODE}",
                "    → seal with --audience lab",
            ],
        ),
        (
            status(bundle=bundle(refused=[refusal("expired")]), aws=HELD),
            [
                "✓ ready since 19:36:00 UTC (12 min), lab",
                "  ! the sender's bundle was refused (expired): the one before",
            ],
        ),
        (
            status(
                "degraded",
                aws=slot(
                    statement="granted", lost=True, last_error=error("expired", "the credentials expired", "deliver")
                ),
            ),
            [
                "✗ degraded since 19:36:00 UTC (12 min), lab",
                "  ✗ aws was granted and holds nothing (expired: the credentials expired)",
                "    → deliver",
            ],
        ),
        (
            status("degraded", aws=slot("aws-metadata", principal=NODE, statement="granted", lost=True)),
            ["✗ degraded", f"  ✗ what was granted for aws is lost: tasks run as {NODE}"],
        ),
        (
            status("unavailable", aws=slot(required=True)),
            ["✗ unavailable", "  ✗ aws is required and holds nothing"],
        ),
        (
            status("degraded", aws={**HELD, "last_error": error("throttled", "the service asks for fewer requests")}),
            ["! degraded", "  ! aws cannot be renewed (throttled: the service asks for fewer requests)"],
        ),
        (
            status(aws={**HELD, "life_passed": 0.75}),
            ["✓ ready", "  ! 75% of the life of aws's session has passed, and ana@laptop has not renewed it"],
        ),
        (
            status("degraded", problems=["reload-failed"]),
            ["! degraded", "  ! reload-failed", "    → credagent explain"],
        ),
        (status("starting"), ["… starting"]),
    ],
)
def test_what_is_wrong_comes_first_with_its_consequence_and_its_remedy(
    document: dict[str, Any], lines: list[str]
) -> None:
    for line, expected in zip(shown(document).splitlines(), lines, strict=False):
        assert line.startswith(expected)


@pytest.mark.parametrize(
    ("document", "fails"),
    [
        (status(aws=HELD), False),
        (status("degraded", problems=["reload-failed"]), False),
        (status("degraded", aws={**HELD, "last_error": error("throttled", "…")}), False),
        (status(aws={**HELD, "life_passed": 0.9}), False),
        (status(google=slot(last_error=error("no-identity", "…"))), False),
        (status(bundle=bundle(refused=[refusal("replayed")])), False),
        (status(bundle=bundle(refused=[refusal("expired", at="2026-11-30T19:39:00Z")])), False),
        (status(bundle=bundle(refused=[refusal("expired")])), False),
        (status("degraded", bundle=bundle(refused=[refusal("expired")]), problems=["expired"]), True),
        (status(bundle=bundle(None, refused=[refusal("expired")])), True),
        (status("degraded", aws=slot(statement="granted", lost=True)), True),
        (status("degraded", aws=slot("aws-metadata", statement="granted", lost=True)), True),
        (status("unavailable", aws=slot(required=True)), True),
        (status("starting"), True),
    ],
)
def test_the_exit_status_fails_where_workers_do_not_get_what_was_meant_for_them(
    document: dict[str, Any], *, fails: bool
) -> None:
    assert failing(document) is fails


def test_a_refused_bundle_is_one_trouble_and_not_one_for_each_slot_that_it_closes() -> None:
    closed = slot(lost=True, last_error=error("content-refused", "…"))
    document = status(
        "degraded", bundle=bundle(None, refused=[refusal("empty")]), google=closed, environment=dict(closed)
    )
    assert shown(document).count("✗") == 2  # the headline, and the bundle


def test_many_workers_are_one_line_and_those_that_are_behind() -> None:
    everybody = [worker(pid) for pid in range(1, 260)] + [worker(pid, generation=3) for pid in range(300, 312)]
    text = shown(status(workers=everybody))
    assert "workers     259 of 271 have generation 4\n" in text
    assert len([line for line in text.splitlines() if line.endswith("10 min ago")]) == 8
    assert "and 4 more that are behind (--json lists all)" in text
    current = shown(status(workers=everybody[:259]))
    assert "workers     259 of 259 have generation 4\n" in current
    assert "PID" not in current


def test_one_slot_is_a_chain_of_reasons_down_to_the_last_error() -> None:
    because = [
        "workers get nothing",
        '`fallback` is "absent": a slot that was granted does not become the machine\'s',
        "what the bundle grants has expired, or cannot be had",
    ]
    failed = error("access-denied", "the service denied access", "does the policy allow it?", failures=4)
    document = status("degraded", aws=slot(statement="granted", because=because, lost=True, last_error=failed))
    assert slot_page("aws", document, View(NOW)) == [
        "aws         nothing",
        "            workers get nothing",
        '              because `fallback` is "absent": a slot that was granted does not become the machine\'s',
        "                because what the bundle grants has expired, or cannot be had",
        "                  because the service denied access (access-denied, 3 min ago, 4 times in a row)",
        "            → does the policy allow it?",
    ]


def test_an_agent_of_an_earlier_version_is_shown_with_what_it_says() -> None:
    new = ("state_since", "key_id", "refused_callers")
    slot_new = ("fallback", "falls_back_to", "because", "lost", "life_passed", "obtained_at")
    document = {name: value for name, value in status(aws=HELD).items() if name not in new}
    document["slots"] = {
        name: {key: value for key, value in one.items() if key not in slot_new}
        for name, one in document["slots"].items()
    }
    del document["bundle"]["sender_name"]
    text = shown(document)
    assert "forwarded by sender 8f79def191ea3bf9" in text
    assert slot_page("aws", document, View(NOW))[0].endswith(ANA)
    assert GRANTED[0] not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == span(-seconds) == text
