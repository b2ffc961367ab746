"""`credagent whoami --worker`: what a library in a process that the agent supplies, or in any other, would sign with.

Judged by names (`operations/observability/process_identity`). A value is read only to be handed to the helper process
that asks STS whose it is, and only where this user may have it anyway.
"""

import json
import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from credagent.cli.node_probes.process_reading import StartEnvironment, read_environ, read_start_environment
from credagent.cli.terminal_text import hung, printable, terminal_width
from credagent.config import AwsSection, Config, GoogleSection
from credagent.errors import CredagentError, Exit, PermissionRefused, Unavailable
from credagent.handover.unix.agent_client import ask
from credagent.operations.observability.home_credential_files import Home, Shadow
from credagent.operations.observability.process_identity import ProcessFacts, SlotUse, process_shadows, uses
from credagent.worker_environment.handover_variables import PAST_PROXIES

EVERY = 0
ASK_DEADLINE_S = 15.0
UNREADABLE = "its environment at its start cannot be read: ask as root, or as its user"


class Asked(Struct, frozen=True, kw_only=True):
    """Who STS says that it is, or why nobody was asked or nothing was answered."""

    principal: str = ""
    why: str = ""


class WorkerIdentity(Struct, frozen=True, kw_only=True):
    """One process. `current`: the agent's generation. `holds`: by slot, whose what the agent holds is."""

    pid: int
    uid: int | None
    role: str
    generation: int | None
    current: int
    uses: tuple[SlotUse, ...]
    shadows: tuple[Shadow, ...]
    holds: Mapping[str, str]
    versions: Mapping[str, str] = {}
    unread: str = ""
    asked: Asked | None = None

    @property
    def sound(self) -> bool:
        """Whether it signs with what the agent holds, wherever that holds something."""
        ours = all(use.ours or not self.holds.get(use.slot) for use in self.uses)
        behind = self.generation is not None and self.generation != self.current
        return ours and not behind and not any(shadow.always for shadow in self.shadows)


def run(pid: int, *, config_path: str | None, asks: bool, as_json: bool) -> int:
    """Show one process, or every one that the agent supplies (`EVERY`); 1 where one signs with something else."""
    found = list(_found(pid, config_path, asks=asks))
    if as_json:
        document = [_plain(one) for one in found]
        sys.stdout.write(json.dumps({"version": 1, "processes": document}, indent=2) + "\n")
    else:
        width = terminal_width()
        for one in found:
            for head, text in _lines(one):
                sys.stdout.write("".join(f"{line}\n" for line in hung(head, [printable(text)], width)))
    return Exit.DONE if all(one.sound for one in found) else Exit.CHECK_FAILED


def _plain(one: WorkerIdentity) -> dict[str, Any]:
    """Return one process as JSON values."""
    document: dict[str, Any] = msgspec.to_builtins(one)
    return document


def _found(pid: int, config_path: str | None, *, asks: bool) -> Iterator[WorkerIdentity]:
    status = ask({"op": "status"}, config_path=config_path)
    handed_out: Mapping[str, str] = ask({"op": "set"}, config_path=config_path)["environment"]
    request = {"op": "processes"} if pid == EVERY else {"op": "processes", "pid": pid}
    supplied: list[Mapping[str, Any]] = ask(request, config_path=config_path)["processes"]
    if pid == EVERY and not supplied:
        hint = "name a process with --worker PID, or start workers by `credagent exec -- …`"
        raise Unavailable("no-worker", "the agent supplies no process", what="whoami", hint=hint)
    if not supplied:
        yield _judged(pid, None, status, handed_out, asks=asks)
    for one in supplied:  # several may have the number 0: they are of other PID namespaces
        yield _judged(one["pid"], one, status, handed_out, asks=asks)


def _judged(
    pid: int,
    supplied: Mapping[str, Any] | None,
    status: Mapping[str, Any],
    handed_out: Mapping[str, str],
    *,
    asks: bool,
) -> WorkerIdentity:
    reported = (supplied or {}).get("process")
    start = _start(pid, handed_out, needed=supplied is None)
    slots = status["slots"]
    runs = Config(
        aws=AwsSection(handover=slots["aws"]["handover"]), google=GoogleSection(handover=slots["google"]["handover"])
    )
    facts = ProcessFacts(
        pid=pid,
        at_start=start.names if start else None,
        now=frozenset(reported["names"]) if reported else None,
        changed=frozenset(reported["changed"]) if reported else (start.changed if start else frozenset()),
        proxied=reported["proxied"] if reported else (start is not None and start.proxied),
        generation=supplied["generation"] if supplied else None,
        home=start.home if start else Home(),
    )
    used = uses(facts, runs)
    holds = {name: slot["principal"] or slot["origin"] for name, slot in slots.items() if slot["origin"] != "none"}
    aws = next((use for use in used if use.slot == "aws"), None)
    return WorkerIdentity(
        pid=pid,
        uid=supplied["uid"] if supplied else _uid(pid),
        role=supplied["role"] if supplied else "process",
        generation=facts.generation,
        current=status["generation"],
        uses=used,
        shadows=tuple(process_shadows(facts, runs, filled=frozenset(holds))),
        holds=holds,
        versions=(reported or {}).get("versions", {}),
        unread="" if start else UNREADABLE,
        asked=_asked(facts, aws, handed_out) if asks and aws is not None else None,
    )


def _start(pid: int, handed_out: Mapping[str, str], *, needed: bool) -> StartEnvironment | None:
    try:
        return read_start_environment(pid, handed_out=handed_out, past_proxies=PAST_PROXIES)
    except (FileNotFoundError, ProcessLookupError) as error:
        if needed:
            hint = "`credagent status` lists the processes that the agent supplies"
            raise Unavailable("no-process", f"no process {pid} is here", what="whoami", hint=hint) from error
    except OSError as error:
        if needed:
            hint = f"sudo credagent whoami --worker {pid}"
            raise PermissionRefused("not-readable", UNREADABLE, what=f"process {pid}", hint=hint) from error
    return None


def _uid(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _asked(facts: ProcessFacts, use: SlotUse, handed_out: Mapping[str, str]) -> Asked:
    """Ask STS with what the process would sign with.

    A process of somebody else is not imitated: what its files name may be programs, which would run as this user. Nor
    is one that has changed its environment since its start: nobody sees the values that it has now.
    """
    from credagent.cloud_helper.environment import NOT_THE_MACHINES
    from credagent.cloud_helper.helper_call import call_blocking
    from credagent.cloud_helper.job_requests import AwsLocalIdentity

    if use.ours:
        kept = {name: value for name, value in os.environ.items() if name not in NOT_THE_MACHINES}
        environ = {**kept, "HOME": "/nonexistent", "AWS_CONFIG_FILE": os.devnull, **handed_out}
    elif facts.now not in (None, facts.at_start):
        return Asked(why="not asked: the process has changed its environment, and nobody else sees its values")
    elif _uid(facts.pid) != os.geteuid():
        return Asked(why="not asked: only its own user may ask with what is not the agent's")
    else:
        environ = read_environ(facts.pid)
    try:
        obtained = call_blocking(AwsLocalIdentity(allow_long_term=True), deadline_s=ASK_DEADLINE_S, environ=environ)
    except CredagentError as error:
        return Asked(why=f"{error.code}: {error.why}")
    return Asked(principal=obtained.principal, why="" if obtained.principal else "STS did not say")


def _lines(one: WorkerIdentity) -> Iterator[tuple[str, str]]:
    """Yield what is said of a process, each with what stands before it."""
    generation = "follows no agent" if one.generation is None else f"generation {one.generation}"
    if one.generation not in (None, one.current):
        generation += f", the agent has {one.current}"
    yield "", f"{one.role} {one.pid} of {_user(one.uid)}: {generation}"
    below = f"  {'':<9} "
    for use in one.uses:
        yield f"  {use.slot:<9} ", use.source
        if use.ours and use.slot in one.holds:
            yield below, one.holds[use.slot]
        if use.slot == "aws" and one.asked is not None:
            yield below, f"STS: {one.asked.principal or one.asked.why}"
        if not use.ours and use.slot in one.holds:
            yield below, f"and not what the agent holds: {one.holds[use.slot]}"
    for shadow in one.shadows:
        yield f"  {'!' if shadow.always else '·'} ", shadow.found
        yield "    → ", shadow.remedy
    if one.versions:
        yield "  versions  ", ", ".join(f"{name} {version}" for name, version in one.versions.items())
    if one.unread:
        yield "  · ", one.unread


def _user(uid: int | None) -> str:
    if uid is None:
        return "an unknown user"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
