"""Starts the daemon: boots, and only then loads the event loop, which says that it is ready once it answers."""

import gc
import signal
from collections.abc import Mapping

from credagent import config as configuration
from credagent import log
from credagent.daemon.agent import Agent, boot
from credagent.errors import CredagentError
from credagent.handover.listening_sockets import ListeningSockets
from credagent.handover.unix.agent_place import OWNER_IS_EXEC
from credagent.operations.systemd.sockets import passed_sockets
from credagent.system.file_lock import Lock

LATER = (signal.SIGHUP, signal.SIGTERM)
"""They wait until the loop acts on them: a reload that comes just after the start would end the agent."""


def run(config_path: str | None, environ: Mapping[str, str]) -> int:
    """Run a daemon until it is told to stop. Raises CredagentError where it cannot start.

    Where the service manager holds its ports, a start that fails keeps them and is tried again (`failed_start`).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, LATER)
    gc.disable()  # until it serves: what a start makes stays
    agent = _started(config_path, environ)
    return 0 if agent is None else _live(agent, config_path, environ)


def run_beside_program(
    config_path: str | None, environ: Mapping[str, str], lock: Lock | None, given: ListeningSockets
) -> int:
    """Run the agent of an `exec` until it is told to stop: in an earlier one's place where `given` are its sockets.

    `lock` is the one on the runtime folder where it is held already. Raises CredagentError where it cannot start.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, LATER)
    gc.disable()
    agent = boot(configuration.load(config_path, environ), environ, OWNER_IS_EXEC, given, lock)
    return _live(agent, config_path, environ)


def _live(agent: Agent, config_path: str | None, environ: Mapping[str, str]) -> int:
    config = agent.config

    import asyncio  # noqa: PLC0415  from here on who asks waits in the socket's backlog

    from credagent.daemon.config_reread import reread  # noqa: PLC0415  as asyncio
    from credagent.daemon.main_loop import MainLoop  # noqa: PLC0415  as asyncio

    log.start(config.log.level, config.log.format)
    if config.left_aside:
        log.info("service_links_left_aside", names=config.left_aside)
    settled, section = agent.resolver.settled, config.agent
    log.info("agent_started", audience=section.audience, runtime_dir=section.runtime_dir, ready=settled)

    async def live() -> None:
        await MainLoop(agent, lambda running: reread(config_path, environ, running)).run()

    asyncio.run(live())
    return 0


def _started(config_path: str | None, environ: Mapping[str, str]) -> Agent | None:
    """Return an agent that has started; None where it was told to end before it could."""
    passed = passed_sockets(environ)
    while True:
        given = ListeningSockets(endpoint=tuple(one.dup() for one in passed))
        try:
            agent = boot(configuration.load(config_path, environ), environ, given=given)
        except CredagentError as error:
            if not passed:
                raise
            failure = error.with_traceback(None)  # it would keep alive what the failed start has opened
        else:
            for one in passed:
                one.close()  # the agent has taken what it needs
            return agent
        gc.enable()
        from credagent.daemon import failed_start  # noqa: PLC0415  only where a start has failed

        if not failed_start.wait_for_another_try(failure, passed, environ):
            return None
