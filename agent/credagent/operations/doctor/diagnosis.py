"""The table of checks, in the order in which a bundle travels, and what they say together."""

from collections.abc import Callable, Iterator

from credagent.operations.doctor import agent_checks, bundle_checks, worker_checks
from credagent.operations.doctor.facts import Facts
from credagent.operations.doctor.findings import Finding, Note, without_echoes

CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    agent_checks.configuration,
    agent_checks.agent,
    agent_checks.runtime_folder,
    agent_checks.units,
    agent_checks.ports,
    agent_checks.folders,
    agent_checks.files,
    agent_checks.watching,
    bundle_checks.clock,
    bundle_checks.refused_bundles,
    bundle_checks.bundle_required,
    bundle_checks.slots,
    bundle_checks.region,
    worker_checks.processes,
    worker_checks.in_the_way,
    worker_checks.versions,
    worker_checks.callers,
    worker_checks.past_the_agent,
    worker_checks.standing_problems,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Return what is wrong, the gravest first: one finding for one fault."""
    return without_echoes(finding for check in CHECKS for finding in check(facts))


def notes(facts: Facts) -> Iterator[Note]:
    """Yield what was looked at, for people: a sound node has nothing else to show."""
    config, status = facts.config, facts.status
    yield Note(check="configuration", found=config.path or "none: the defaults apply")
    if config.bundle.trusts_nobody:
        yield Note(check="trust", found="no sender is trusted: no bundle is admitted")
    if not config.agent.audience:
        yield Note(check="audience", found="any audience is accepted: agent.audience is empty")
    if facts.missing_accounts:
        yield Note(check="users", found=f"not on this machine: {', '.join(facts.missing_accounts)}")
    if facts.swap and "credagent.service" not in facts.units:
        yield Note(check="swap", found="this machine swaps; the unit keeps the agent out of it (MemorySwapMax=0)")
    if status is None:
        return
    yield Note(
        check="agent", found=f"{status['state']}, pid {status['agent']['pid']}, generation {status['generation']}"
    )
    bundle = status["bundle"]
    shown = f"{bundle['bundle_id']} over {bundle['channel']}" if bundle["bundle_id"] else "none is in force"
    yield Note(check="bundle", found=shown)
    for name, slot in status["slots"].items():
        until = f" until {slot['expires_at']}" if slot["expires_at"] else ""
        yield Note(check=name, found="holds nothing" if slot["origin"] == "none" else f"{slot['origin']}{until}")
    count = len(status["workers"])
    yield Note(check="workers", found=f"{count} process{'' if count == 1 else 'es'} supplied over the socket")
