"""The agent's folders while it runs: made again, with all that lives in them, where somebody took them away.

A cleaner of /tmp, a logout that unmounts XDG_RUNTIME_DIR, a volume that is mounted late: the folders are removed,
replaced, unmounted or closed under a running agent. One look finds all of it, and one way brings everything back.
File channels look after the folders of their own files.

The kernel says when to look; what it did not tell of is found at the next moment of `tick`. Where it tells nothing,
or something is wrong that may be over any moment, a look is every few seconds.
"""

import asyncio
import os

from credagent import log
from credagent.admission import machine_key
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent
from credagent.daemon.socket_supervisor import SocketSupervisor
from credagent.errors import CredagentError
from credagent.system import inotify
from credagent.system.folder_events import FolderEvents
from credagent.tick import until_tick

LOOK_S = 4.0  # a worker waits ten times as long for an agent
SETTLE_S = 1.0  # what takes a folder away takes many steps, and must not find something new in it at its last one
_TAKEN = inotify.ATTRIB | inotify.DELETE | inotify.MOVED_FROM | inotify.DELETE_SELF | inotify.MOVE_SELF

Fingerprint = tuple[tuple[int, ...] | None, ...]
"""Of each folder: which one it is, and its mode; None where there is none."""


class FolderSupervisor:
    """Looks after the folders of one agent. `trouble` is the code of what keeps it from bringing them back."""

    def __init__(self, agent: Agent, sockets: SocketSupervisor) -> None:
        """Take the folders as they are now for right."""
        self._agent, self._sockets = agent, sockets
        self._seen = self._fingerprint()
        self.trouble = ""

    async def keep(self) -> None:
        """Look whenever something happened, and now and then, for ever."""
        while True:
            try:
                with FolderEvents() as events:
                    for folder in self._watchable():
                        events.watch(folder, _TAKEN)
                    await self._keep_watched(events)
                await asyncio.sleep(SETTLE_S)  # somebody who changes them without end does not keep the agent busy
            except OSError:  # no instance is left, or a folder is away
                await asyncio.sleep(LOOK_S)
                await self.look()

    async def _keep_watched(self, events: FolderEvents) -> None:
        """Look until other folders have to be watched."""
        watched = self._seen
        await self.look()
        while self._seen == watched:
            if await events.come(LOOK_S if self.trouble else until_tick(self._agent.clock.monotonic())):
                await asyncio.sleep(SETTLE_S)
            await self.look()

    async def look(self) -> None:
        """Bring back what is not there any more."""
        folders, present = self._fingerprint(), self._sockets.are_there() and self._agent.handover.is_there()
        if folders == self._seen and present:
            return
        try:
            self._restore_folders()
            await self._sockets.bind_again()
            self._agent.handover.restore(self._agent.resolver.store.current)
        except CredagentError as error:
            if self.trouble != error.code:
                log.warning("folders_lost", code=error.code, why=str(error), hint=error.hint)
            self.trouble = error.code
            return
        self._seen, self.trouble = self._fingerprint(), ""
        log.warning("folders_restored", runtime_dir=self._agent.config.agent.runtime_dir)

    def _restore_folders(self) -> None:
        """Make the folders and hold their locks; where the state folder is another one, save what it should hold."""
        agent = self._agent
        runtime_folders.prepare(agent.config)
        agent.locks = runtime_folders.hold_locks(agent.config, agent.locks)
        machine_key.put_back(list(agent.settings.admission.keyring.machine_keys), agent.config.agent.state_dir)
        agent.resolver.admission.save_where_missing()

    def _watchable(self) -> frozenset[str]:
        """Return the folders of the agent, and those of the files and sockets that it has put elsewhere."""
        agent = self._agent
        files = [bound.path for bound in agent.bound]
        files += [agent.config.workers.env_file] if agent.config.workers.env_file else []
        return frozenset((*runtime_folders.folders(agent.config), *(os.path.dirname(file) or "." for file in files)))

    def _fingerprint(self) -> Fingerprint:
        return tuple(_identity(folder) for folder in runtime_folders.folders(self._agent.config))


def _identity(folder: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode
