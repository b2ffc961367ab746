"""When to renew, when to try again, when to warn: pure functions of times, failures and a jitter drawn by the caller.

Times are aware UTC and judged by the wall clock; the waits returned are seconds for the monotonic clock.

After a failure the wait doubles, from a second, up to a bound that depends on what asking again can bring and on what
it costs to wait. One bad sample therefore costs seconds, whatever its class, and no trouble lasts much longer here than
twice its own length:

    what is held, and who is asked           passing failure    refusal            nothing of the kind here
    valid credentials with `left` to live    300 s, left / 3    900 s, left / 3    as a refusal
    nothing; a service of this machine       60 s               60 s               900 s after the first minute
    nothing; a service of the cloud (STS)    300 s              300 s              -

A refusal (`access-denied`) stands until somebody changes something; "nothing of the kind here" (`no-identity`) until
the machine becomes another one; its first minute is a sum of waits, and the jitter moves it by a tenth. A service that
names a time (`Retry-After`) is left alone for so long, up to 300 s.
"""

from datetime import datetime, timedelta

from credagent.tick import until_tick

AWS_LEAD = timedelta(minutes=20)  # botocore asks again below 15 minutes; new values must be in place well before
GOOGLE_LEAD = timedelta(minutes=5)  # Google's clients ask again below 5 minutes, its server renews 4 to 5 before expiry
JITTER_SHARE = 0.1
LEAST_SHARE = 0.25  # of what is left; below it a short life would be spent asking
LEAST_WAIT_S = 1.0  # between two attempts whatever the life: no hot loop
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
REFUSED_RETRY_S = 900.0  # while something is held: somebody has to change something first
CHEAP_RETRY_S = 60.0  # nothing is held, and the answer costs nobody anything: first boots, roles attached late
ABSENT_RETRY_S = 900.0  # a machine does not change its cloud; each question starts a helper process
RETRY_SHARE = 1 / 3  # of what is left: three more attempts before the end, whatever the failure
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


def longest_retry_s(*, left_s: float | None, cheap: bool, refused: bool) -> float:
    """Return the bound of the table, in seconds, before jitter.

    `left_s`: how long what is held is still valid (infinite where it has no end), None where nothing is held. `cheap`:
    a service of this machine is asked. `refused`: asking again helps only after somebody has changed something.
    """
    if left_s is None:
        return CHEAP_RETRY_S if cheap else LONGEST_RETRY_S
    return REFUSED_RETRY_S if refused else LONGEST_RETRY_S


def retry_wait_s(
    failures: int,
    jitter: float,
    *,
    left_s: float | None = None,
    cheap: bool = False,
    refused: bool = False,
    absent: bool = False,
    retry_after_s: float = 0.0,
) -> float:
    """Return the pause after the `failures`-th failure in a row (1 or more), in seconds, moved by `jitter`.

    The other arguments choose the cell of the table; `absent` is its last column. `retry_after_s` is the time that
    the service has named, 0 where it has not.
    """
    doubled = FIRST_RETRY_S * 2.0 ** min(failures - 1, 16)
    bound = longest_retry_s(left_s=left_s, cheap=cheap, refused=refused)
    if absent and left_s is None and doubled > CHEAP_RETRY_S:
        doubled = bound = ABSENT_RETRY_S
    wait: float = min(doubled, bound) * (1 + JITTER_SHARE * jitter)
    if left_s is not None:
        wait = min(wait, left_s * RETRY_SHARE)
    named = min(retry_after_s, LONGEST_RETRY_S) * (1 + JITTER_SHARE * abs(jitter))  # never earlier than it was named
    return max(wait, named, LEAST_WAIT_S * (1 - JITTER_SHARE))


def look_wait_s(seconds_until_due: float, monotonic: float) -> float:
    """Return how long to wait before looking at the clocks again: until due, or until the next moment of `tick`."""
    return min(max(seconds_until_due, 0.0), until_tick(monotonic))


def warning_share(obtained_at: datetime, expires_at: datetime, now: datetime) -> float:
    """Return the largest warning share of the life that has passed, 0.0 where none has."""
    life = (expires_at - obtained_at).total_seconds()
    passed = (now - obtained_at).total_seconds()
    return max((share for share in WARNING_SHARES if life > 0 and passed >= life * share), default=0.0)
