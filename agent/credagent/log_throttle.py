"""Says of a user what is worth a line now and then: whoever hammers at the door must not fill the log."""

import time

AGAIN_S = 60.0  # after which it is said of the same user again
REMEMBERED_USERS = 64  # a machine with more of them that are refused at once hears of some of them twice


class LogThrottle:
    """Of whom something was said within the last minute."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._until: dict[int, float] = {}

    def is_news(self, uid: int) -> bool:
        """Tell whether nothing was said of `uid` lately, and take it as said from now on."""
        now = time.monotonic()
        if self._until.get(uid, 0.0) > now:
            return False
        if len(self._until) >= REMEMBERED_USERS:
            self._until.clear()
        self._until[uid] = now + AGAIN_S
        return True
