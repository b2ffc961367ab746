"""Checks of a Dask cluster from its sender's side: what each process said of the agent on its machine."""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from credagent.errors import ABSENT_CODES
from credagent.operations.doctor.findings import Finding, Note

LISTED = 5  # hosts by name
OWN_PROCESS = "own-process"  # a scheduler in its user's own process: no fault


class ProcessAnswer(Struct, frozen=True, kw_only=True):
    """What one process of a cluster said of the agent on its machine.

    `fault`: a code where no agent answered there; `silent` and `no-plugin` where the process itself said nothing.
    `trouble`: codes of the agent's, each alone or behind its slot (`aws: expired`).
    """

    address: str
    host: str
    fault: str = ""
    hint: str = ""
    state: str = ""
    trouble: tuple[str, ...] = ()
    sender: str = ""
    bundle_id: str = ""
    forwarder_ended: str = ""


def diagnose(answers: Iterable[ProcessAnswer], scheduler: str, own_key: str = "") -> list[Finding]:
    """Return what is wrong, once for all machines that have it. `own_key`: this sender's key id."""
    answers = [one for one in answers if one.fault != OWN_PROCESS]
    forward = f"`credagent forward --scheduler {scheduler}`"
    found = [
        *_without_answer(answers, forward),
        *_faults(answers),
        *_troubled(answers),
        *_of_others(answers, forward, own_key),
    ]
    return sorted(found, key=lambda one: one.level != "error")


def notes(answers: Iterable[ProcessAnswer]) -> Iterator[Note]:
    """Yield what each machine answered."""
    for one in sorted(answers, key=lambda one: (one.host, one.address)):
        state, bundle = one.state or "answers", f"bundle {one.bundle_id}" if one.bundle_id else "no bundle in force"
        yield Note(check=one.host, found=f"{one.address}: {one.fault or f'{state}, {bundle}'}")


def _without_answer(answers: list[ProcessAnswer], forward: str) -> Iterator[Finding]:
    if places := _addresses(answers, lambda one: one.fault == "silent"):
        yield Finding(
            check="cluster",
            level="error",
            code="silent",
            found=f"no answer came from {places}",
            why="a process that hangs, or is stopped, takes no new credentials",
            remedy="on that machine: `credagent doctor`",
        )
    if places := _addresses(answers, lambda one: one.fault == "no-plugin"):
        yield Finding(
            check="cluster",
            level="error",
            code="no-plugin",
            found=f"nobody forwards to {places}",
            why="nothing there passes bundles on to the agent",
            remedy=forward,
        )


def _faults(answers: list[ProcessAnswer]) -> Iterator[Finding]:
    if hosts := _hosts(answers, lambda one: one.fault == "no-agent"):
        yield Finding(
            check="cluster",
            level="error",
            code="no-agent",
            found=f"no agent answers on {hosts}",
            why="tasks there have whatever identity the machine gives",
            remedy="there: `systemctl enable --now credagent`, or `credagent exec -- dask worker …` as its command",
        )
    others = {one.fault: one.hint for one in answers if one.fault not in ("", "silent", "no-plugin", "no-agent")}
    for fault, hint in others.items():
        yield Finding(
            check="cluster",
            level="error",
            code=fault,
            found=f"the agent refuses the Dask processes of {_hosts(answers, _has_fault(fault))} ({fault})",
            why="tasks there get nothing from it",
            remedy=hint or "on that machine: `credagent doctor`",
        )


def _troubled(answers: list[ProcessAnswer]) -> Iterator[Finding]:
    said: dict[str, list[ProcessAnswer]] = {}
    for one in answers:
        codes = [code for code in one.trouble if code.rpartition(": ")[2] not in ABSENT_CODES]
        if one.state in ("degraded", "unavailable") or codes:
            said.setdefault(", ".join(codes) or one.state, []).append(one)
    for trouble, ones in said.items():
        yield Finding(
            check="agent",
            level="error" if any(one.state == "unavailable" for one in ones) else "warning",
            code="agent-troubled",
            found=f"the agent of {_hosts(ones, lambda _: True)} is in trouble: {trouble}",
            why="tasks there may lack what was forwarded",
            remedy=f"`ssh {ones[0].host} credagent doctor`",
        )


def _of_others(answers: list[ProcessAnswer], forward: str, own_key: str) -> Iterator[Finding]:
    sound = [one for one in answers if not one.fault]
    if hosts := _hosts(sound, lambda one: not one.bundle_id):
        yield Finding(
            check="bundle",
            level="error",
            code="no-bundle",
            found=f"no bundle is in force on {hosts}",
            why="tasks there run as the machine, or as nobody",
            remedy=forward,
        )
    if own_key and (hosts := _hosts(sound, lambda one: bool(one.bundle_id) and one.sender != own_key)):
        yield Finding(
            check="bundle",
            level="warning",
            code="another-sender",
            found=f"the bundle in force on {hosts} is another sender's",
            why="tasks there run as somebody else than you",
            remedy=forward,
        )
    if hosts := _hosts(sound, lambda one: bool(one.forwarder_ended)):
        yield Finding(
            check="bundle",
            level="warning",
            code="forwarder-ended",
            found=f"nobody renews what {hosts} got: the forwarder has ended",
            why="sessions end when they end",
            remedy=forward,
        )


def _has_fault(fault: str) -> Callable[[ProcessAnswer], bool]:
    return lambda one: one.fault == fault


def _hosts(answers: Iterable[ProcessAnswer], truth: Callable[[ProcessAnswer], bool]) -> str:
    return _listed(sorted({one.host for one in answers if truth(one)}))


def _addresses(answers: Iterable[ProcessAnswer], truth: Callable[[ProcessAnswer], bool]) -> str:
    return _listed(sorted(one.address for one in answers if truth(one)))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
