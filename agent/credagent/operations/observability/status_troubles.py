"""What is wrong by a status document: each trouble with its consequence and remedy, in the order of reading.

A function of the document; what a page or an exit status makes of it is the command line's.
"""

from __future__ import annotations

from credagent.errors import ABSENT_CODES

TYPE_CHECKING = False  # typing takes as long to load as all of a page
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

OLD_NEWS = frozenset({"replayed", "superseded"})
"""Refusals that stand for nothing: old content is what it was."""

CONTENT_REFUSED = "content-refused"
"""Of a slot that holds nothing because of a refused bundle: told with the bundle."""

OF_THE_MACHINE = frozenset({"aws-metadata", "google-metadata", "container", "web-identity"})
"""Origins that are this machine's own identity."""


class StatusTrouble:
    """One thing that is wrong. `failing`: workers do not get what was meant for them, or will not."""

    __slots__ = ("failing", "remedy", "what")

    def __init__(self, what: str, remedy: str = "", *, failing: bool = True) -> None:
        """Say what is wrong, with its consequence, and what to type."""
        self.what, self.remedy, self.failing = what, remedy, failing


def troubles(document: Mapping[str, Any]) -> tuple[StatusTrouble, ...]:
    """Return what is wrong: the refused bundle first, then slots, then the rest."""
    return tuple(_troubles(document))


def standing_refusal(bundle: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the last refusal that says something, None where a bundle in force was made after it."""
    said = [refusal for refusal in bundle["refused"] if refusal["code"] not in OLD_NEWS]
    if not said or (bundle["issued_at"] and bundle["issued_at"] > said[-1]["at"]):
        return None
    last: Mapping[str, Any] = said[-1]
    return last


def _troubles(document: Mapping[str, Any]) -> Iterator[StatusTrouble]:
    slots, bundle = document["slots"], document["bundle"]
    refusal = standing_refusal(bundle)
    if refusal is not None:
        what = f"the sender's bundle was refused ({refusal['code']}): {_consequence(slots, bundle)}"
        # A refused push leaves the bundle in force as it is; refused content of a pull channel is a standing problem.
        failing = refusal["code"] in document["problems"] or not bundle["bundle_id"]
        yield StatusTrouble(what, refusal["hint"], failing=failing)
    for name, slot in slots.items():
        echo = refusal is not None and slot["last_error"] and slot["last_error"]["code"] == CONTENT_REFUSED
        yield from () if echo else _of_slot(name, slot, bundle)
    told = {one["code"] for one in bundle["refused"]}
    told |= {slot["last_error"]["code"] for slot in slots.values() if slot["last_error"]}
    for code in document.get("problems", ()):
        if code not in told:
            yield StatusTrouble(code, f"credagent explain {code}", failing=False)


def _consequence(slots: Mapping[str, Any], bundle: Mapping[str, Any]) -> str:
    """Say whose identity tasks have meanwhile."""
    if bundle["bundle_id"]:
        return "the one before stays in force"
    machine = [slot["principal"] or slot["origin"] for slot in slots.values() if slot["origin"] in OF_THE_MACHINE]
    return f"tasks run as {' and '.join(machine)}" if machine else "tasks get nothing"


def _of_slot(name: str, slot: Mapping[str, Any], bundle: Mapping[str, Any]) -> Iterator[StatusTrouble]:
    error = slot["last_error"]
    remedy = error["hint"] if error else ""
    why = f" ({error['code']}: {error['message']})" if error else ""
    granted = slot["statement"] == "granted"
    if slot.get("lost") and slot["origin"] == "none":
        yield StatusTrouble(
            f"{name} was granted and holds nothing{why}" if granted else f"{name} holds nothing{why}", remedy
        )
    elif slot.get("lost") and slot["origin"] in OF_THE_MACHINE:
        held = slot["principal"] or slot["origin"]
        yield StatusTrouble(f"what was granted for {name} is lost{why}: tasks run as {held}", remedy)
    elif slot["required"] and slot["origin"] == "none":
        yield StatusTrouble(f"{name} is required and holds nothing{why}", remedy)
    elif error and error["code"] not in ABSENT_CODES:
        yield StatusTrouble(f"{name} cannot be renewed{why}", remedy, failing=slot["origin"] == "none")
    passed = slot.get("life_passed") or 0
    if passed and slot["origin"] != "none":
        sender = bundle.get("sender_name") or "its sender"
        what = f"{passed:.0%} of the life of {name}'s session has passed, and {sender} has not renewed it"
        yield StatusTrouble(
            what, "let its sender forward again: is that machine asleep, or its login over?", failing=False
        )
