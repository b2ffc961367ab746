"""When to renew, when to try again, when to warn: pure functions of times, failures and a jitter drawn by the caller.

Times are aware UTC and judged by the wall clock; the waits returned are seconds for the monotonic clock.
"""

from datetime import datetime, timedelta

AWS_LEAD = timedelta(minutes=20)  # botocore asks again below 15 minutes; new values must be in place well before
GOOGLE_LEAD = timedelta(minutes=5)  # Google's clients ask again below 5 minutes, its server renews 4 to 5 before expiry
JITTER_SHARE = 0.1
LEAST_SHARE = 0.25  # of what is left; below it a short life would be spent asking
LEAST_WAIT_S = 1.0  # between two attempts whatever the life: no hot loop
LONGEST_WAIT_S = 30.0  # between two looks at the wall clock: bounds how long a step or a suspension goes unnoticed
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
REFUSED_RETRY_S = 900.0  # for permanent refusals: somebody has to change something first
WARNING_SHARES = (0.5, 0.75, 0.9)


def renewal_wait_s(left: timedelta, lead: timedelta, jitter: float) -> float:
    """Return how long after obtaining credentials with `left` to live they are renewed, in seconds.

    Half of what is left, moved by `jitter` (from -1 to 1) by up to a tenth; earlier where that keeps `lead` before the
    expiry, but not before a quarter has passed. Never negative; at least a second unless the life is over before.
    """
    left_s = max(left.total_seconds(), 0.0)
    sway = 1 + JITTER_SHARE * jitter
    half = left_s / 2 * sway
    wait = max(min(half, left_s - lead.total_seconds()), left_s * LEAST_SHARE * sway)
    return max(wait, LEAST_WAIT_S)


def renew_at(obtained_at: datetime, expires_at: datetime, lead: timedelta, jitter: float) -> datetime:
    """Return the wall-clock time of the next renewal: before `expires_at` for every life of two seconds or more."""
    return obtained_at + timedelta(seconds=renewal_wait_s(expires_at - obtained_at, lead, jitter))


def retry_wait_s(failures: int, jitter: float, *, permanent: bool) -> float:
    """Return the pause after the `failures`-th failure in a row (1 or more): doubling, capped, moved by `jitter`."""
    backed_off = min(FIRST_RETRY_S * 2 ** min(failures - 1, 16), LONGEST_RETRY_S)
    base = REFUSED_RETRY_S if permanent else backed_off
    return float(base * (1 + JITTER_SHARE * jitter))


def look_wait_s(seconds_until_due: float) -> float:
    """Return how long to wait before looking at the clocks again: until due, within the bounds of a single wait."""
    return min(max(seconds_until_due, 0.0), LONGEST_WAIT_S)


def warning_share(obtained_at: datetime, expires_at: datetime, now: datetime) -> float:
    """Return the largest warning share of the life that has passed, 0.0 where none has."""
    life = (expires_at - obtained_at).total_seconds()
    passed = (now - obtained_at).total_seconds()
    return max((share for share in WARNING_SHARES if life > 0 and passed >= life * share), default=0.0)
