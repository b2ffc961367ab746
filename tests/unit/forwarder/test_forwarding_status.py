"""What a person sees of a forwarding: a table in text and in HTML, and one line."""

from datetime import UTC, datetime
from typing import Any

from credagent.forwarder.forwarding_session import Forwarding
from credagent.forwarder.forwarding_status import ForwardingStatus, MachineStatus, as_html, as_line
from credagent.forwarder.validity_after_withdrawal import FOR_EVER

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
FACTS: dict[str, Any] = {"key_id": "1f", "processes": 2, "confirmed_at": AT, "code": "", "hint": ""}
SERVED = MachineStatus(host="node-1", state="admitted", **FACTS)
REFUSING = MachineStatus(host="<b>node-2</b>", state="refused", **FACTS | {"code": "too-old", "hint": "set the clock"})
STATUS = ForwardingStatus(
    state="forwarding",
    sender_key="credagent-sender:…",
    identity="arn:aws:iam::123456789012:user/ana",
    expires_at=AT,
    machines=(SERVED, REFUSING),
    faults=(("node-3", "no-agent"),),
)


def test_text_is_a_table_with_what_to_do() -> None:
    heading, names, *rows = str(STATUS).splitlines()
    assert heading == "forwarding arn:aws:iam::123456789012:user/ana, credentials until 2026-11-30T12:00:00Z"
    assert names.split() == ["machine", "state", "processes", "confirmed", "what", "to", "do"]
    assert rows[0].split() == ["node-1", "admitted", "2", "2026-11-30T12:00:00Z"]
    assert rows[1].endswith("set the clock")
    assert "credagent exec" in rows[2]
    assert len({row.index("2026") for row in rows[:2]}) == 1, "columns stand below each other"
    assert repr(STATUS) == str(STATUS), "a prompt shows it too"


def test_html_is_the_same_table_and_a_machines_name_is_no_markup() -> None:
    shown = as_html(STATUS)
    assert STATUS._repr_html_() == shown
    assert shown.count("<tr>") == 4
    assert "&lt;b&gt;node-2&lt;/b&gt;" in shown
    assert "<b>node-2" not in shown


def test_one_line_says_who_to_how_many_until_when_and_what_is_wrong() -> None:
    line = as_line(STATUS)
    assert line.startswith("forwarding arn:aws:iam::123456789012:user/ana, credentials until 2026-11-30T12:00:00Z")
    assert "on 1 of 2 machines; <b>node-2</b>: refused too-old, node-3: no-agent" in line
    many = ForwardingStatus(state="forwarding", sender_key="", faults=tuple((f"n{n}", "no-agent") for n in range(9)))
    assert as_line(many).endswith("n2: no-agent and 6 more")


def test_what_was_taken_back_says_how_long_a_running_client_may_go_on() -> None:
    taken: dict[str, Any] = {"taken_back": ("aws",)}
    for until, said in ((AT, "2026-11-30T12:00:00Z"), (FOR_EVER, "you delete the key")):
        machine = MachineStatus(host="a", state="admitted", **FACTS, **taken, usable_until=until)
        shown = str(ForwardingStatus(state="withdrawn", sender_key="", machines=(machine,)))
        assert f"taken back: aws; a client that runs there already may go on until {said}" in shown


def test_a_forwarding_that_has_nothing_to_do_says_so() -> None:
    nothing = Forwarding(None, "", waits=False)
    assert repr(nothing) == "<Forwarding: own, on 0 of 0 machines>"
    assert "own" in nothing._repr_html_()
