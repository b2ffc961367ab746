"""The agent's sockets while it runs: who stands by has those that are there now."""

import asyncio
import os
from pathlib import Path

from credagent import config as configuration
from credagent.daemon.agent import Agent
from credagent.daemon.socket_supervisor import SocketSupervisor
from credagent.handover.unix.server import SocketServer
from tests.standin import StandIn
from tests.unit.handover.unix.test_server import ME, Client


def test_whoever_stands_by_is_sent_away_for_a_socket_that_is_bound_again(tmp_path: Path) -> None:
    environ = {f"CREDAGENT_AGENT_{name.upper()}_DIR": str(tmp_path) for name in ("runtime", "state")}
    agent = Agent(configuration.load(None, environ), environ, writes=False)
    agent.bind()

    async def story() -> None:
        sockets = SocketSupervisor(agent, lambda: SocketServer(StandIn(), ME))
        await sockets.serve()
        client = await Client(agent.bound[0].path).connect()
        assert (await client.ask(op="stand-by"))["ok"]
        os.unlink(agent.bound[0].path)
        await sockets.bind_again()
        assert await client.answer() is None
        client = await Client(agent.bound[0].path).connect()
        assert (await client.ask(op="stand-by"))["ok"]
        await sockets.close()
        assert agent.bound[0].is_there()  # for the one that stands by

    asyncio.run(story())
