"""One resolution without a daemon: for `run --once`, and for a person who asks what a worker would get here."""

from collections.abc import Callable, Mapping
from typing import Any

from credagent import config as configuration
from credagent import log
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
    if locks is None:
        log.info("daemon_runs", note="nothing is written beside it", runtime_dir=config.agent.runtime_dir)
    service = Agent(config, environ, writes=locks is not None)
    service.locks = locks or ()
    _resolve(service)
    if locks is not None:
        service.handover.write(service.custody.store.current)
        if service.handover.error is not None:
            raise service.handover.error
    tell(_document(service))
    _require(service)
    return Exit.DONE


def resolve(config: Config, environ: Mapping[str, str]) -> tuple[dict[str, Any], WorkerView]:
    """Return the status document and what a worker would get now. Writes nothing, makes no key and no folder."""
    service = Agent(config, environ, writes=False)
    _resolve(service)
    return _document(service), service.handover.view(service.custody.store.current)


def _resolve(service: Agent) -> None:
    """Try every slot once, within the time that the configuration gives."""
    service.resolve(waiting=True)
    if service.custody.settled:
        return
    import asyncio  # noqa: PLC0415  only where a cloud has to be asked

    async def settle() -> None:
        settled = asyncio.Event()
        service.custody.on_change = lambda: settled.set() if service.custody.settled else None
        keepers = [asyncio.create_task(keeper.run()) for keeper in service.custody.keepers.values()]
        try:
            async with asyncio.timeout(service.config.agent.settle_s):
                await settled.wait()
        except TimeoutError:
            log.warning("not_settled", after_s=service.config.agent.settle_s)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    asyncio.run(settle())


def _document(service: Agent) -> dict[str, Any]:
    """Return what `status` would say of a daemon that had found the same."""
    from credagent.daemon.agent_api import AgentApi  # noqa: PLC0415  the daemon's start loads this module, not that one

    async def nobody_delivers(_bundle: str, _channel: str) -> str:
        hint = "deliver to a running agent, or put the bundle on a channel"
        raise Unavailable("no-daemon", "one resolution takes no deliveries", what="deliver", hint=hint)

    answers = AgentApi(service.config, service.custody, service.handover, clock=service.clock, deliver=nobody_delivers)
    return answers.status()


def _require(service: Agent) -> None:
    """Raise why this machine does not give what it should: a refused bundle first, for it explains an empty slot."""
    custody = service.custody
    in_force = custody.intake.in_force is not None
    if not in_force and custody.refusals:
        last = custody.refusals[-1]
        raise Refused(last.code, last.message, what=f"channel {last.channel}", hint=last.hint)
    if not in_force and custody.intake.withheld is not None:
        kept = custody.intake.withheld
        raise Refused(kept.code, kept.why, what="the bundle kept by this machine", hint=kept.hint)
    empty = [slot for slot, rules in custody.rules.slots.items() if rules.required and not custody.is_filled(slot)]
    if empty:
        missing = ", ".join(slot.value for slot in empty)
        raise Unavailable(
            "required-slot-empty",
            "required, and not to be had",
            what=missing,
            hint=f"the log says why, `credagent doctor` looks closer; {empty[0].value}.required = false waives it",
        )
    if custody.rules.bundle_required and not in_force:
        raise Unavailable(
            "no-bundle",
            "required, and none is in force",
            what="a bundle",
            hint="deliver one, or see bundle.expect and bundle.channels in the configuration",
        )
