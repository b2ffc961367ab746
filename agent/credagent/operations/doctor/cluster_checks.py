"""Checks of a Dask cluster from its sender's side: what each process said of the agent on its machine."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from credagent.errors import ABSENT_CODES
from credagent.operations.doctor.findings import Area, Finding, Note

AGENT, BUNDLE, CLUSTER = Area("agent"), Area("bundle"), Area("cluster")

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
    if places := _addresses(one for one in answers if one.fault == "silent"):
        yield CLUSTER.error(
            "silent",
            f"no answer came from {places}",
            "a process that hangs, or is stopped, takes no new credentials",
            "on that machine: `credagent doctor`",
        )
    if places := _addresses(one for one in answers if one.fault == "no-plugin"):
        yield CLUSTER.error(
            "no-plugin",
            f"nobody forwards to {places}",
            "nothing there passes bundles on to the agent",
            forward,
        )


def _faults(answers: list[ProcessAnswer]) -> Iterator[Finding]:
    if hosts := _hosts(one for one in answers if one.fault == "no-agent"):
        yield CLUSTER.error(
            "no-agent",
            f"no agent answers on {hosts}",
            "tasks there have whatever identity the machine gives",
            "there: `systemctl enable --now credagent`, or `credagent exec -- dask worker …` as its command",
        )
    others = {one.fault: one.hint for one in answers if one.fault not in ("", "silent", "no-plugin", "no-agent")}
    for fault, hint in others.items():
        hosts = _hosts(one for one in answers if one.fault == fault)
        yield CLUSTER.error(
            fault,
            f"the agent refuses the Dask processes of {hosts} ({fault})",
            "tasks there get nothing from it",
            hint or "on that machine: `credagent doctor`",
        )


def _troubled(answers: list[ProcessAnswer]) -> Iterator[Finding]:
    said: dict[str, list[ProcessAnswer]] = {}
    for one in answers:
        codes = [code for code in one.trouble if code.rpartition(": ")[2] not in ABSENT_CODES]
        if one.state in ("degraded", "unavailable") or codes:
            said.setdefault(", ".join(codes) or one.state, []).append(one)
    for trouble, ones in said.items():
        yield AGENT.finding(
            "error" if any(one.state == "unavailable" for one in ones) else "warning",
            "agent-troubled",
            f"the agent of {_hosts(ones)} is in trouble: {trouble}",
            "tasks there may lack what was forwarded",
            f"`ssh {ones[0].host} credagent doctor`",
        )


def _of_others(answers: list[ProcessAnswer], forward: str, own_key: str) -> Iterator[Finding]:
    sound = [one for one in answers if not one.fault]
    if hosts := _hosts(one for one in sound if not one.bundle_id):
        yield BUNDLE.error(
            "no-bundle",
            f"no bundle is in force on {hosts}",
            "tasks there run as the machine, or as nobody",
            forward,
        )
    if own_key and (hosts := _hosts(one for one in sound if one.bundle_id and one.sender != own_key)):
        yield BUNDLE.warning(
            "another-sender",
            f"the bundle in force on {hosts} is another sender's",
            "tasks there run as somebody else than you",
            forward,
        )
    if hosts := _hosts(one for one in sound if one.forwarder_ended):
        yield BUNDLE.warning(
            "forwarder-ended",
            f"nobody renews what {hosts} got: the forwarder has ended",
            "sessions end when they end",
            forward,
        )


def _hosts(answers: Iterable[ProcessAnswer]) -> str:
    return _listed(sorted({one.host for one in answers}))


def _addresses(answers: Iterable[ProcessAnswer]) -> str:
    return _listed(sorted(one.address for one in answers))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
