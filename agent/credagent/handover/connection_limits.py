"""How many connections a server may have open, and how many of them one user may have. It knows no rights."""

import math
from collections import Counter

SHARE_FOR_GOOD = 0.9  # of what there is, for connections that stay; the rest is for those who ask and go
SHARE_OF_ONE_USER = 0.75  # so that one user cannot keep the others from their credentials


class ConnectionLimits:
    """Counts the open connections of one server, in all and for each user."""

    def __init__(self, most: int, *, kept_for_privileged: int = 0) -> None:
        """Have `most` connections, of which only root and the agent's own user can take the last few."""
        self._most, self._room = most, max(1, most - kept_for_privileged)
        self._share = math.ceil(self._room * SHARE_OF_ONE_USER)
        self._by_user: Counter[int] = Counter()
        self._present = 0

    def take(self, uid: int, *, privileged: bool = False) -> bool:
        """Count one more connection of `uid`; False, and nothing is counted, where there is no room for it."""
        present = self._present
        full = present >= self._most if privileged else present >= self._room or self._by_user[uid] >= self._share
        if not full:
            self._by_user[uid] += 1
            self._present += 1
        return not full

    def may_stay(self, uid: int, *, privileged: bool = False) -> bool:
        """Tell whether a connection of `uid`, which is counted, may stay for good and leave room for others."""
        present = self._present
        if privileged:
            return present <= self._most * SHARE_FOR_GOOD
        return present <= self._room * SHARE_FOR_GOOD and self._by_user[uid] <= self._share * SHARE_FOR_GOOD

    def give_back(self, uid: int) -> None:
        """Count one connection of `uid` less."""
        self._present -= 1
        self._by_user[uid] -= 1
        if self._by_user[uid] <= 0:
            del self._by_user[uid]
