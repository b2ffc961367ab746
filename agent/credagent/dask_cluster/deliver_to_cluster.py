"""One sealed text to every machine of a cluster, once, for `credagent deliver --to dask:ADDRESS`. Seals nothing."""

import asyncio
import contextlib
import os
from collections.abc import Mapping

from credagent.dask_cluster import agent_report, scheduler_address
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.dask_cluster.scheduler_client import GUEST_PLUGIN, SchedulerClient

Reports = Mapping[str, AgentReport | None]


async def deliver_everywhere(where: str, text: str) -> dict[str, str]:
    """Return what became of `text` on each machine, by host and address of the process that was asked."""
    scheduler = SchedulerClient(scheduler_address.parse(where), f"credagent-deliver-{os.urandom(6).hex()}")
    try:
        addresses = sorted(await scheduler.workers() | {agent_report.SCHEDULER})
        reports = await _ask_all(scheduler, addresses)
        if None in reports.values():
            await _install(scheduler)
            reports = await _ask_all(scheduler, addresses)
        return await _to_each_machine(scheduler, reports, text)
    finally:
        scheduler.close()


async def _ask_all(scheduler: SchedulerClient, addresses: list[str]) -> Reports:
    reports = await asyncio.gather(*(_ask(scheduler, address) for address in addresses))
    return dict(zip(addresses, reports, strict=True))


async def _ask(scheduler: SchedulerClient, address: str) -> AgentReport | None:
    try:
        return await scheduler.report(address)
    except NoAnswer:
        return None


async def _install(scheduler: SchedulerClient) -> None:
    """Install the plugin under a name of its own, so that a forwarder that is at work keeps its plugin and mailbox."""
    settings: dict[str, object] = {"guest": True}
    for install in (scheduler.install_in_scheduler, scheduler.install):
        with contextlib.suppress(NoAnswer):  # who has it nevertheless is found by asking again
            await install(settings, GUEST_PLUGIN)


async def _to_each_machine(scheduler: SchedulerClient, reports: Reports, text: str) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    recipients: set[str] = set()
    for address, report in reports.items():
        if report is None or report.fault:
            outcomes[address] = report.fault if report is not None else "no answer"
        elif report.recipient not in recipients:
            recipients.add(report.recipient)
            outcomes[f"{report.host} ({address})"] = await _deliver(scheduler, address, text)
    return outcomes


async def _deliver(scheduler: SchedulerClient, address: str, text: str) -> str:
    try:
        answer = await scheduler.deliver(address, text)
    except NoAnswer:
        return "no answer"
    return answer.outcome if answer is not None else "no answer"
