"""How often one user may ask for what costs more than memory."""

import pytest

from credagent.errors import Unavailable
from credagent.handover.unix.rate_limits import MOST_USERS, RateLimit, TokenBucket


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(spending: TokenBucket, uid: int, times: int) -> int:
    """Return how many of `times` were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            spending.require(uid)
        except Unavailable:
            continue
        spending.spend(uid)
        allowed += 1
    return allowed


def test_a_burst_and_then_one_each_interval_for_each_user() -> None:
    time = Time()
    spending = TokenBucket(RateLimit(what="things", burst=3, every_s=10), time)
    assert (spent(spending, 1000, 5), spent(spending, 1001, 5)) == (3, 3)
    with pytest.raises(Unavailable) as refused:
        spending.require(1000)
    assert (refused.value.code, refused.value.hint) == ("busy", "at most one each 10 s in the long run")
    time.now += 9.9
    assert spent(spending, 1000, 1) == 0
    time.now += 0.2
    assert spent(spending, 1000, 5) == 1
    time.now += 1_000_000
    assert spent(spending, 1000, 5) == 3


@pytest.mark.parametrize("users", [MOST_USERS * 3])
def test_who_is_remembered_is_bounded_once_they_have_rested(users: int) -> None:
    time = Time()
    spending = TokenBucket(RateLimit(what="things", burst=3, every_s=10), time)
    for uid in range(users):
        spending.spend(uid)
        time.now += 10
    assert len(spending._left) <= MOST_USERS
