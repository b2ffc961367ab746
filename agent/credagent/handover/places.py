"""Who gets a place on the agent's socket, and whose knocking is worth a line in the log. Rights are in `callers`."""

import math
import time
from collections.abc import Iterable

from credagent import log
from credagent.handover import open_files
from credagent.handover.callers import Admission, Caller

MOST_CONNECTIONS = open_files.MOST
KEPT_FOR_PRIVILEGED = 16  # so that root can still ask for the status when workers have taken all the rest
SHARE_OF_ONE_USER = 0.75  # of the rest, so that one user cannot keep the others from their credentials
SAY_AGAIN_S = 60.0
SAID_USERS = 64


class Places:
    """The places of one socket: how many there are, and who was refused lately."""

    def __init__(self) -> None:
        """Have as many as the process may open files."""
        open_files.make_room()
        self._most = min(MOST_CONNECTIONS, open_files.most_connections())
        self._said: dict[int, float] = {}

    def has_room_for(self, caller: Caller, admission: Admission, present: Iterable[Caller]) -> bool:
        """Say whether one more connection of `caller` may be open beside those that are `present`."""
        uids = [one.uid for one in present]
        if admission.is_privileged(caller):
            return len(uids) < self._most
        room = max(1, self._most - KEPT_FOR_PRIVILEGED)
        return len(uids) < room and uids.count(caller.uid) < math.ceil(room * SHARE_OF_ONE_USER)

    def say_refused(self, caller: Caller) -> None:
        """Name each refused user now and then: anybody may knock, and whoever hammers must not fill the log."""
        now = time.monotonic()
        if self._said.get(caller.uid, 0.0) <= now:
            if len(self._said) >= SAID_USERS:
                self._said.clear()
            self._said[caller.uid] = now + SAY_AGAIN_S
            log.warning("caller_refused", pid=caller.pid, uid=caller.uid, socket="agent")
