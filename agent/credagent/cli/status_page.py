"""The page of `credagent status`: lines for people, made of a status document, a time, a width and whether to colour.

Pure. Times are shown relative and absolute, keys by their fingerprint, senders by the name that the configuration has.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from credagent.bundle.fingerprint import fingerprint
from credagent.cli.terminal_text import hung, printable
from credagent.errors import ABSENT_CODES
from credagent.operations.observability.status_troubles import OLD_NEWS, StatusTrouble, troubles

TYPE_CHECKING = False  # typing takes as long to load as all of a page
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

LABEL = 12  # columns before a value
MINUTE_S = 60
UNITS = ((86_400, "d"), (3_600, "h"), (MINUTE_S, "min"), (1, "s"))
MOST_WORKERS = 8  # rows; what is usual is one line beyond that
SHOWN_REFUSALS = 3

ORIGINS = {
    "bundle": "forwarded by {sender}",
    "assumed-role": "role assumed as {sender} has granted it",
    "impersonation": "account impersonated as {sender} has granted it",
    "refresh-token": "by the refresh token of {sender}",
    "web-identity": "this machine's web identity",
    "container": "this machine's container credentials",
    "aws-metadata": "this machine's instance profile",
    "google-metadata": "this machine's service account",
}
FORWARDED = frozenset({"bundle", "assumed-role", "impersonation", "refresh-token"})
MARKS = {"ready": "✓", "degraded": "!", "unavailable": "✗", "starting": "…"}
GREEN, YELLOW, RED, BOLD, DIM = "32", "33", "31", "1", "2"
COLOURS = {"ready": GREEN, "degraded": YELLOW, "unavailable": RED, "starting": YELLOW}


class View:
    """How the page is shown. `width` 0: lines are as long as they are. `user_name` says who a uid is."""

    __slots__ = ("colour", "now", "user_name", "width")

    def __init__(
        self, now: datetime, width: int = 0, *, colour: bool = False, user_name: Callable[[int], str] = str
    ) -> None:
        """Show what is true `now`."""
        self.now, self.width, self.colour, self.user_name = now, width, colour, user_name


def page(document: Mapping[str, Any], view: View) -> list[str]:
    """Return the page for all that the agent holds."""
    found = troubles(document)
    lines = [_headline(document, found, view), *_trouble_lines(found, view), ""]
    for name, slot in document["slots"].items():
        lines += _slot(name, slot, document, view)
    lines += ["", *bundle_lines(document, view), *_workers(document, view), *_others(document, view)]
    return lines


def slot_page(name: str, document: Mapping[str, Any], view: View) -> list[str]:
    """Return why one slot holds what it holds: each line is the reason for the one before."""
    slot = document["slots"][name]
    outcome, *reasons = slot.get("because") or [""]
    error = slot["last_error"]
    if error:
        reasons.append(
            f"{error['message']} ({error['code']}, {_ago(error['at'], view.now)}, {_times(error['failures'])})"
        )
    lines = _slot(name, {**slot, "because": ()}, document, view)
    lines += _wrapped("", [printable(outcome)], view) if outcome else []
    for depth, reason in enumerate(reasons, 1):
        lines += hung(f"{' ' * LABEL}{'  ' * depth}because ", [printable(reason)], view.width)
    if error and error["hint"]:
        lines += hung(f"{' ' * LABEL}→ ", [printable(error["hint"])], view.width)
    return lines


def failing(document: Mapping[str, Any]) -> bool:
    """Tell whether workers do not get what was meant for them."""
    return document["state"] not in ("ready", "degraded") or any(one.failing for one in troubles(document))


def span(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    left = int(abs(seconds))
    for (unit_s, name), (smaller_s, smaller) in pairwise(UNITS):
        if left >= unit_s:
            rest = left % unit_s // smaller_s
            return (
                f"{left // unit_s} {name} {rest} {smaller}"
                if rest and unit_s > MINUTE_S
                else f"{left // unit_s} {name}"
            )
    return f"{left} s"


def moment(text: str) -> datetime:
    """Return a time of the document."""
    return datetime.fromisoformat(text)


def _absolute(at: datetime, now: datetime) -> str:
    form = "%H:%M:%S UTC" if at.astimezone(UTC).date() == now.astimezone(UTC).date() else "%Y-%m-%d %H:%M:%S UTC"
    return at.astimezone(UTC).strftime(form)


def _until(text: str, now: datetime) -> str:
    at = moment(text)
    left = (at - now).total_seconds()
    return f"in {span(left)} ({_absolute(at, now)})" if left > 0 else f"{span(left)} ago ({_absolute(at, now)})"


def _ago(text: str, now: datetime) -> str:
    return f"{span((now - moment(text)).total_seconds())} ago"


def _headline(document: Mapping[str, Any], found: tuple[StatusTrouble, ...], view: View) -> str:
    state = document["state"]
    fails = state in ("ready", "degraded") and any(one.failing for one in found)
    mark, colour = ("✗", RED) if fails else (MARKS.get(state, "?"), COLOURS.get(state, RED))
    since = document.get("state_since") or document["since"] if "since" in document else None
    when = (
        f" since {_absolute(moment(since), view.now)} ({span((view.now - moment(since)).total_seconds())})"
        if since
        else ""
    )
    audience = printable(document["audience"]) or "any audience"
    return f"{_styled(mark, colour, view)} {_styled(state, f'{BOLD};{colour}', view)}{when}, {audience}"


def _trouble_lines(found: Iterable[StatusTrouble], view: View) -> list[str]:
    lines = []
    for one in found:
        mark, colour = ("✗", RED) if one.failing else ("!", YELLOW)
        lines += [_styled(line, colour, view) for line in hung(f"  {mark} ", [printable(one.what)], view.width)]
        if one.remedy:
            lines += hung("    → ", [printable(one.remedy)], view.width)
    return lines


def _slot(name: str, slot: Mapping[str, Any], document: Mapping[str, Any], view: View) -> list[str]:
    sender = _sender(document["bundle"])
    if slot["origin"] == "none":
        return _empty_slot(name, slot, view)
    held = slot["principal"] or ", ".join(slot.get("names", ())) or slot["origin"]
    parts = [ORIGINS.get(slot["origin"], slot["origin"]).format(sender=sender)]
    parts.append(f"ends {_until(slot['expires_at'], view.now)}" if slot["expires_at"] else "has no end of its own")
    if slot["renew_at"]:
        parts.append(f"renewed {_until(slot['renew_at'], view.now)}")
    elif slot["origin"] == "bundle" and name != "environment":
        parts.append(f"only {sender} renews it")
    if slot["origin"] in FORWARDED and slot.get("falls_back_to") and name != "environment":
        parts.append(_falls_back(slot))
    if slot["handover"] == "off":
        parts.append("not handed over")
    return [*_wrapped(name, [_styled(printable(held), BOLD, view)], view), *_wrapped("", map(printable, parts), view)]


def _empty_slot(name: str, slot: Mapping[str, Any], view: View) -> list[str]:
    error = slot["last_error"]
    parts = [*slot.get("because", ())[-1:]]
    if parts and error and error["code"] in ABSENT_CODES:
        parts.append(error["message"])
    if slot["handover"] == "off":
        parts = ["not handed over"]
    nothing = "nothing, and it is required" if slot["required"] else "nothing"
    return [*_wrapped(name, [_styled(nothing, DIM, view)], view), *_wrapped("", map(printable, parts), view)]


def _falls_back(slot: Mapping[str, Any]) -> str:
    then = "this machine's own identity" if slot["falls_back_to"] == "machine" else "nothing"
    return f"then {then} (fallback {slot['fallback']})"


def _sender(bundle: Mapping[str, Any]) -> str:
    if not bundle["bundle_id"]:
        return "a sender"
    return printable(bundle.get("sender_name") or f"sender {fingerprint(bundle['sender'])}")


def bundle_lines(document: Mapping[str, Any], view: View) -> list[str]:
    """Return which bundle is in force, and which were refused lately."""
    bundle = document["bundle"]
    lines = _wrapped("bundle", ["none in force"], view)
    if bundle["bundle_id"]:
        named = f" ({fingerprint(bundle['sender'])})" if bundle.get("sender_name") else ""
        parts = [f"from {_sender(bundle)}{named}", f"sealed {_ago(bundle['issued_at'], view.now)}"]
        parts += [f"over {bundle['channel']}", f"ends {_until(bundle['not_after'], view.now)}"]
        lines = _wrapped("bundle", map(printable, parts), view)
    news = [one for one in bundle["refused"] if one["code"] not in OLD_NEWS]
    for refusal in news[-SHOWN_REFUSALS:]:
        said = f"{refusal['code']}, {_ago(refusal['at'], view.now)} over {refusal['channel']}: {refusal['message']}"
        lines += _wrapped("refused", [printable(said)], view)
    return lines


def _workers(document: Mapping[str, Any], view: View) -> list[str]:
    workers, generation = document["workers"], document["generation"]
    if not workers:
        return _wrapped("workers", ["none: no process follows the agent"], view)
    behind = [one for one in workers if one["generation"] != generation]
    current = len(workers) - len(behind)
    summary = f"{current} of {len(workers)} have generation {generation}"
    rows = workers if len(workers) <= MOST_WORKERS else behind[:MOST_WORKERS]
    lines = _wrapped("workers", [_styled(summary, YELLOW, view) if behind else summary], view)
    if rows:
        lines += _table(rows, document, view)
    if len(workers) > MOST_WORKERS and len(behind) > len(rows):
        lines += _wrapped("", [f"and {len(behind) - len(rows)} more that are behind (--json lists all)"], view)
    return lines


def _table(rows: Iterable[Mapping[str, Any]], document: Mapping[str, Any], view: View) -> Iterator[str]:
    cells = [("PID", "USER", "ROLE", "GENERATION", "SINCE")]
    for one in rows:
        has = "none yet" if one["generation"] is None else str(one["generation"])
        since = _ago(one["since"], view.now)
        cells.append((str(one["pid"]), printable(view.user_name(one["uid"])), one["role"], has, since))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    current = str(document["generation"])
    for number, row in enumerate(cells):
        line = " " * LABEL + "  ".join(map(str.ljust, row, widths)).rstrip()
        style = DIM if number == 0 else "" if row[3] == current else YELLOW
        yield _styled(line, style, view)


def _others(document: Mapping[str, Any], view: View) -> list[str]:
    lines = []
    for one in document.get("refused_callers", ()):
        said = f"{view.user_name(one['uid'])} was refused {one['count']} times, last {_ago(one['at'], view.now)}"
        lines += _wrapped("callers", [printable(said)], view)
    if document.get("key_id"):
        lines += _wrapped("key", [f"{fingerprint(document['key_id'])} (credagent public-key)"], view)
    agent = document["agent"]
    facts = [f"{agent['version']}, pid {agent['pid']}, up {span(agent['uptime_s'])}"]
    if agent["uss_bytes"]:
        facts.append(f"{agent['uss_bytes'] / 1e6:.1f} MB private")
    return lines + _wrapped("agent", facts, view)


def _times(failures: int) -> str:
    return "once" if failures == 1 else f"{failures} times in a row"


def _wrapped(label: str, parts: Iterable[str], view: View) -> list[str]:
    """Return parts behind a label in the first column."""
    return hung(f"{label:<{LABEL - 1}} ", parts, view.width)


def _styled(text: str, style: str, view: View) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if view.colour and style else text
