"""One resolution without a daemon: for `run --once`, and for a person who asks what a worker would get here."""

from collections.abc import Callable, Mapping
from typing import Any

from credagent import config as configuration
from credagent import log
from credagent.channels.factory import content_of
from credagent.config import Config
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent
from credagent.errors import Exit, Refused, Unavailable
from credagent.worker_environment.rendering import WorkerView


def run(config_path: str | None, environ: Mapping[str, str], tell: Callable[[dict[str, Any]], object]) -> int:
    """Resolve, write worker.env, `tell` the status document, then raise what the machine does not give.

    Writes nothing beside a daemon.
    """
    from credagent.system.process_control import make_non_dumpable  # noqa: PLC0415  ctypes, and only where secrets arrive

    make_non_dumpable()
    config = configuration.load(config_path, environ)
    runtime_folders.prepare(config)
    locks = runtime_folders.free_locks(config)
    log.start(config.log.level, config.log.format)
    if config.left_aside:
        log.info("service_links_left_aside", names=config.left_aside)
    if locks is None:
        log.info("daemon_runs", note="nothing is written beside it", runtime_dir=config.agent.runtime_dir)
    agent = Agent(config, environ, writes=locks is not None)
    agent.locks = locks or ()
    _resolve(agent)
    if locks is not None:
        agent.handover.write(agent.resolver.store.current)
        if agent.handover.error is not None:
            raise agent.handover.error
    tell(_document(agent))
    _require(agent)
    return Exit.DONE


def resolve(config: Config, environ: Mapping[str, str]) -> tuple[dict[str, Any], WorkerView]:
    """Return the status document and what a worker would get now. Writes nothing, makes no key and no folder."""
    agent = Agent(config, environ, writes=False)
    _resolve(agent)
    return _document(agent), agent.handover.view(agent.resolver.store.current)


def _resolve(agent: Agent) -> None:
    """Look at every channel and try every slot once; slots have the time that the configuration gives."""
    agent.resolve()
    if agent.resolver.settled and not agent.resolver.unlooked and not agent.resolver.admission.state.unopened:
        return
    import asyncio  # noqa: PLC0415  only where a cloud has to be asked

    asyncio.run(_settle(agent))


async def _settle(agent: Agent) -> None:
    import asyncio  # noqa: PLC0415  only where a cloud has to be asked

    from credagent.daemon.channel_follower import ChannelFollower  # noqa: PLC0415  only where a cloud has to be asked

    resolver, settled = agent.resolver, asyncio.Event()
    follower = ChannelFollower(resolver, agent.clock)
    await follower.reopen()
    unlooked = [channel for channel in agent.settings.channels if channel.name in resolver.unlooked]
    found = await asyncio.gather(*(asyncio.to_thread(content_of, channel) for channel in unlooked))
    for channel, content in zip(unlooked, found, strict=True):
        await follower.offer(channel, content)
    resolver.store.listen(lambda _old, _new: settled.set() if resolver.settled else None)
    running = [asyncio.create_task(controller.run()) for controller in resolver.controllers.values()]
    resolver.resolve()
    try:
        async with asyncio.timeout(agent.config.agent.settle_s):
            await settled.wait()
    except TimeoutError:
        log.warning("not_settled", after_s=agent.config.agent.settle_s)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _document(agent: Agent) -> dict[str, Any]:
    """Return what `status` would say of a daemon that had found the same."""
    from credagent.daemon.agent_api import AgentApi  # noqa: PLC0415  the daemon's start loads this module, not that one

    async def nobody_delivers(_bundle: str, _channel: str) -> str:
        hint = "deliver to a running agent, or put the bundle on a channel"
        raise Unavailable("no-daemon", "one resolution takes no deliveries", what="deliver", hint=hint)

    return AgentApi(agent, deliver=nobody_delivers).status_now()


def _require(agent: Agent) -> None:
    """Raise why this machine does not give what it should: a refused bundle first, for it explains an empty slot."""
    resolver, admission = agent.resolver, agent.resolver.admission.state
    if admission.in_force is None and resolver.refusals.recent:
        last = resolver.refusals.recent[-1]
        raise Refused(last.code, last.message, what=f"channel {last.channel}", hint=last.hint)
    if admission.withheld is not None:
        kept = admission.withheld
        raise Refused(kept.code, kept.why, what="the bundle kept by this machine", hint=kept.hint)
    slots = agent.settings.slots
    empty = [slot for slot, said in slots.slots.items() if said.required and not resolver.is_filled(slot)]
    if empty:
        missing = ", ".join(slot.value for slot in empty)
        raise Unavailable(
            "required-slot-empty",
            "required, and not to be had",
            what=missing,
            hint=f"the log says why, `credagent doctor` looks closer; {empty[0].value}.required = false waives it",
        )
    if slots.bundle_required and admission.in_force is None:
        raise Unavailable(
            "no-bundle",
            "required, and none is in force",
            what="a bundle",
            hint="deliver one, or see bundle.expect and bundle.channels in the configuration",
        )
