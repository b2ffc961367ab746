"""Waits for an agent and for the set to start a program with: the one place that says for how long `exec` waits.

Whether anything but an end is acceptable without credentials is the start's to say (`ProgramStart`); where the agent
comes from is the source's.
"""

from __future__ import annotations

import time

from credagent import log
from credagent.errors import Unavailable
from credagent.exec.agent_subscription import AgentSubscription, complete, settled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from credagent.exec.agent_subscription import Document
    from credagent.exec.program_start import ProgramStart

    class AgentSource(Protocol):
        """Where the agent comes from."""

        path: str

        def subscription(self) -> AgentSubscription | None:
            """Return the connection to the agent, None while there is none. Raises where there will never be one."""


LOOK_AGAIN_S = 0.005  # for an agent that is starting: it takes tens of milliseconds
LOOK_SELDOM_S = 0.25  # once the usual time is over, and between two looks at the agent while a set is waited for


class AgentAt:
    """The agent that listens at one path, and no other: it may be restarting, and another's credentials will not do."""

    def __init__(self, path: str, subscription: AgentSubscription | None = None) -> None:
        """Go on with `subscription` where there is one already."""
        self.path = path
        self._subscription = subscription

    def subscription(self) -> AgentSubscription | None:
        """Return the connection, made where there is none yet."""
        if self._subscription is None:
            self._subscription = AgentSubscription.try_connect(self.path)
        else:
            self._subscription.revive()
        return self._subscription


def wait_for_agent(start: ProgramStart, source: AgentSource) -> tuple[AgentSubscription | None, Document | None]:
    """Return the connection to the agent and the set to start with.

    Waits until the set is complete: every slot was tried, and where the start is held back the required ones are
    filled. After the start's own limit it goes on with less, or with nothing, unless a required slot forbids that:
    then it waits for ever. Raises Unavailable where CREDAGENT_WORKER_MISSING says that no agent is an end.
    """
    until, newest, said = time.monotonic() + start.wait_s, None, False
    while True:
        subscription = source.subscription()
        if subscription is None:
            time.sleep(LOOK_SELDOM_S if said else LOOK_AGAIN_S)
        else:
            newest = subscription.wait(LOOK_SELDOM_S) or newest
            if newest is not None and (complete(newest) or (settled(newest) and not start.held_back)):
                return subscription, newest
        start.speak()
        if time.monotonic() < until:
            continue
        if not (start.held_back if subscription is not None else start.waits_for_ever):
            break
        if subscription is None and not said:
            said = True
            log.warning("waits_for_agent", socket=source.path, why="a required slot is empty without it")
    if subscription is None and start.ends_without_agent:
        hint = "start one there with `credagent run`, or mount its folder here; `credagent doctor` looks further"
        raise Unavailable("no-agent", "no agent answers", what=source.path, hint=hint)
    log.warning("started_without_agent" if subscription is None else "started_before_settled", socket=source.path)
    return subscription, newest
