"""Judges a node from end to end: facts in, findings out, each with what to do about it. Collecting is the command's."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from credagent.config import Config
from credagent.errors import ABSENT_CODES
from credagent.operations.observability.home_credential_files import Home, shadows

Level = Literal["ok", "info", "warning", "error"]
PRELOAD_VARIABLE = "DASK_DISTRIBUTED__WORKER__PRELOAD"


REMEDIES: Mapping[str, str] = {
    "interception-missing": "systemctl enable --now credagent-intercept; restart it after a change of [workers]",
    "interception-of-nobody": "name users of this machine in [workers] users; root is never redirected",
    "interception-port": 'set endpoint.listen to "127.0.0.1:9817", "[::1]:9817"',
    "callers-unknown": "use the environment handover, or run the agent outside this sandbox",
}
"""What to do about a standing problem, where that is known without the log."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `remedy` is empty where nothing is to be done."""

    check: str
    level: Level
    found: str
    remedy: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """What was collected on the node. `status` None: no agent answered, and `silence` says why.

    `file_systems`: of each folder of the agent, the kind of file system it is on ("" where it does not exist).
    `missing`: users and groups of the configuration that this machine does not have.
    """

    config: Config
    status: Mapping[str, Any] | None
    silence: str = ""
    file_systems: Mapping[str, str] = {}
    missing: tuple[str, ...] = ()
    env_file_exists: bool = False
    swap: bool = False
    preload: str = ""
    home: Home = Home()


def findings(facts: Facts) -> list[Finding]:
    """Return everything there is to say, in the order in which a bundle travels."""
    return [*_configuration(facts), *_folders(facts), *_agent(facts), *_slots(facts), *_handover(facts), *_home(facts)]


def healthy(found: list[Finding]) -> bool:
    """Tell whether nothing is wrong; a warning is not."""
    return all(finding.level != "error" for finding in found)


def _configuration(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    yield Finding(check="configuration", level="ok", found=config.path or "none: the defaults apply")
    if config.bundle.trusted_senders:
        count = len(config.bundle.trusted_senders)
        yield Finding(check="trust", level="ok", found=f"bundle.trusted_senders lists {count}")
    else:
        level: Level = "error" if config.bundle.expect == "required" else "info"
        remedy = "`credagent trust PUB`, with the sender's public key, then reload the agent"
        yield Finding(check="trust", level=level, found="no sender is trusted: no bundle is admitted", remedy=remedy)
    if not config.agent.audience:
        remedy = "set agent.audience, so that a bundle for another cluster is refused"
        yield Finding(check="audience", level="info", found="any audience is accepted", remedy=remedy)
    if facts.missing:
        names = ", ".join(facts.missing)
        remedy = "name the users that workers run as in workers.users"
        yield Finding(check="users", level="info", found=f"not on this machine: {names}", remedy=remedy)


def _folders(facts: Facts) -> Iterator[Finding]:
    runtime_dir = facts.config.agent.runtime_dir
    for folder, kind in facts.file_systems.items():
        if not kind:
            yield Finding(check="folder", level="info", found=f"{folder} does not exist yet")
        elif folder == runtime_dir and kind not in ("tmpfs", "ramfs"):
            remedy = "put agent.runtime_dir on a tmpfs: worker.env holds credentials in clear"
            yield Finding(check="folder", level="warning", found=f"{folder} is on {kind}", remedy=remedy)
        else:
            yield Finding(check="folder", level="ok", found=f"{folder} ({kind})")
    if facts.swap:
        remedy = "turn swap off, or run the agent by its unit (MemorySwapMax=0)"
        yield Finding(check="swap", level="info", found="this machine swaps", remedy=remedy)


def _agent(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    if status is None:
        remedy = "start it: `systemctl start credagent`, or `credagent run`"
        yield Finding(check="agent", level="error", found=facts.silence, remedy=remedy)
        return
    states: Mapping[str, Level] = {"ready": "ok", "degraded": "warning", "starting": "info"}
    yield Finding(
        check="agent",
        level=states.get(status["state"], "error"),
        found=f"{status['state']}, pid {status['agent']['pid']}, generation {status['generation']}",
    )
    bundle = status["bundle"]
    if bundle["bundle_id"]:
        yield Finding(check="bundle", level="ok", found=f"{bundle['bundle_id']} over {bundle['channel']} is in force")
    else:
        level: Level = "error" if facts.config.bundle.expect == "required" else "info"
        remedy = "deliver one, sealed to the key that `credagent public-key` prints"
        yield Finding(check="bundle", level=level, found="none is in force", remedy=remedy)
    for refusal in bundle["refused"][-3:]:
        found = f"refused on {refusal['channel']} at {refusal['at']}: {refusal['code']}"
        yield Finding(check="bundle", level="warning", found=found, remedy=refusal.get("hint", ""))
    shown = {refusal["code"] for refusal in bundle["refused"]}
    for code in status.get("problems", ()):
        if code not in shown:
            remedy = REMEDIES.get(code, "see its log: journalctl -u credagent")
            yield Finding(check="agent", level="warning", found=f"a standing problem: {code}", remedy=remedy)


def _slots(facts: Facts) -> Iterator[Finding]:
    for name, slot in (facts.status or {}).get("slots", {}).items():
        filled = slot["origin"] != "none"
        level: Level = "ok" if filled else "error" if slot["required"] else "info"
        until = f" until {slot['expires_at']}" if slot["expires_at"] else ""
        found = f"{slot['origin']}{until}" if filled else "holds nothing"
        yield Finding(check=name, level=level, found=found)
        error = slot["last_error"]
        if error:
            worse: Level = "info" if error["code"] in ABSENT_CODES else "warning"
            yield Finding(
                check=name, level=worse, found=f"{error['code']}: {error['message']}", remedy=error.get("hint", "")
            )


def _handover(facts: Facts) -> Iterator[Finding]:
    status, env_file = facts.status, facts.config.workers.env_file
    if status is not None and env_file and not facts.env_file_exists:
        remedy = "is the disk full? the agent's log says why it could not be written"
        yield Finding(check="worker.env", level="warning", found=f"{env_file} does not exist", remedy=remedy)
    for worker in (status or {}).get("workers", []):
        current = status is not None and worker["generation"] == status["generation"]
        level: Level = "ok" if current else "warning"
        remedy = "" if current else "a task that holds Python's GIL delays this; else look at the worker's log"
        found = f"{worker['role']} {worker['pid']} has generation {worker['generation']}"
        yield Finding(check="worker", level=level, found=found, remedy=remedy)
    if status is not None and not status["workers"]:
        remedy = "start workers by `credagent exec -- …`, or preload credagent_worker (see `credagent worker-path`)"
        preload = "credagent_worker" in facts.preload
        found = "no process is supplied over the socket" + ("; this shell's Dask would preload it" if preload else "")
        yield Finding(check="worker", level="info", found=found, remedy=remedy)


def _home(facts: Facts) -> Iterator[Finding]:
    for one in shadows(facts.home, facts.config):
        yield Finding(check=one.slot, level="warning" if one.always else "info", found=one.found, remedy=one.remedy)
