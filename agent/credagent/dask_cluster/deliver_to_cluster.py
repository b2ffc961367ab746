"""One sealed text to every machine of a cluster, once, for `credagent deliver --to dask:ADDRESS`. Seals nothing."""

import asyncio
import os

from credagent.dask_cluster import agent_report, scheduler_address
from credagent.dask_cluster.scheduler_client import GUEST, SchedulerClient
from credagent.errors import Unavailable


async def deliver_everywhere(where: str, text: str) -> dict[str, str]:
    """Return what became of `text` on each machine, by host and address of the process that was asked."""
    courier = SchedulerClient(scheduler_address.parse(where), f"credagent-deliver-{os.urandom(6).hex()}")
    try:
        places = sorted(await courier.addresses() | {agent_report.SCHEDULER})
        found = await _ask(courier, places)
        if None in found:
            await _install(courier)
            found = await _ask(courier, places)
        return await _to_each_machine(courier, places, found, text)
    finally:
        courier.close()


async def _ask(courier: SchedulerClient, places: list[str]) -> list[agent_report.AgentReport | None]:
    return await asyncio.gather(*(_report(courier, place) for place in places))


async def _report(courier: SchedulerClient, place: str) -> agent_report.AgentReport | None:
    try:
        return await courier.report(place)
    except Unavailable as error:
        if error.code not in ("silent", "scheduler-failed"):
            raise
        return None


async def _install(courier: SchedulerClient) -> None:
    """Bring what passes bundles on, under a name of its own: a forwarder may be at work, and its mailbox stays."""
    settings: dict[str, object] = {"guest": True}
    for install in (courier.install_in_scheduler, courier.install):
        try:
            await install(settings, GUEST)
        except Unavailable as error:
            if error.code not in ("silent", "scheduler-failed"):
                raise


async def _to_each_machine(
    courier: SchedulerClient, places: list[str], found: list[agent_report.AgentReport | None], text: str
) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    machines: set[str] = set()
    for place, report in zip(places, found, strict=True):
        if report is None or report.fault:
            outcomes[place] = report.fault if report is not None else "no answer"
        elif report.recipient not in machines:
            machines.add(report.recipient)
            answer = await courier.deliver(place, text)
            outcomes[f"{report.host} ({place})"] = answer.outcome if answer is not None else "no answer"
    return outcomes
