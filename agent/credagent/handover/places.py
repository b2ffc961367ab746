"""Who gets a place on the agent's socket, and whose knocking is worth a line in the log. Rights are in `callers`."""

import math
from collections.abc import Iterable

from credagent import log
from credagent.handover import open_files
from credagent.handover.callers import Admission, Caller
from credagent.handover.lately import Lately

MOST_CONNECTIONS = open_files.MOST
KEPT_FOR_PRIVILEGED = 16  # so that root can still ask for the status when workers have taken all the rest
SHARE_OF_ONE_USER = 0.75  # of the rest, so that one user cannot keep the others from their credentials


class Places:
    """The places of one socket: how many there are, and who was refused lately."""

    def __init__(self) -> None:
        """Have as many as the process may open files."""
        open_files.make_room()
        self._most = min(MOST_CONNECTIONS, open_files.most_connections())
        self._refused = Lately()

    def has_room_for(self, caller: Caller, admission: Admission, present: Iterable[Caller]) -> bool:
        """Say whether one more connection of `caller` may be open beside those that are `present`."""
        uids = [one.uid for one in present]
        if admission.is_privileged(caller):
            return len(uids) < self._most
        room = max(1, self._most - KEPT_FOR_PRIVILEGED)
        return len(uids) < room and uids.count(caller.uid) < math.ceil(room * SHARE_OF_ONE_USER)

    def say_refused(self, caller: Caller) -> None:
        """Name each refused user now and then: anybody may knock."""
        if self._refused.is_news(caller.uid):
            log.warning("caller_refused", pid=caller.pid, uid=caller.uid, socket="agent")
