"""Who gets a place on the agent's socket, and whose knocking is worth a line in the log. Rights are in `callers`."""

import math
from collections.abc import Iterable

from credagent import log
from credagent.handover.unix.caller_access import AccessRules, Caller
from credagent.log_throttle import LogThrottle
from credagent.system import open_file_limit

MOST_CONNECTIONS = open_file_limit.MOST
KEPT_FOR_PRIVILEGED = 16  # so that root can still ask for the status when workers have taken all the rest
SHARE_OF_ONE_USER = 0.75  # of the rest, so that one user cannot keep the others from their credentials


class ConnectionLimits:
    """The places of one socket: how many there are, and who was refused lately."""

    def __init__(self) -> None:
        """Have as many as the process may open files."""
        open_file_limit.make_room()
        self._most = min(MOST_CONNECTIONS, open_file_limit.most_connections())
        self._refused = LogThrottle()

    def has_room_for(self, caller: Caller, admission: AccessRules, present: Iterable[Caller]) -> bool:
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
