"""How often a channel that cannot tell of changes is asked. Pure; waiting is done by who asks.

Each look starts a helper process for some tenths of a second, so an idle agent with one such channel wakes up a few
times a minute. A request a minute to S3 or Cloud Storage costs two cents a month and a machine; the parameter store
takes 40 requests a second from a whole account, and 10,000 machines that ask every five minutes send 33.
"""

from collections.abc import Mapping

from msgspec import Struct

from credagent.errors import ABSENT_CODES, NO_IDENTITY

JITTER = 0.2  # machines that were launched together must not ask together for ever
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 300.0
NO_ROLE_S = 60.0  # at a first boot the role comes seconds after the machine; the question stays on the machine's host
OTHER_CLOUD_S = 600.0  # a machine does not change its cloud; its metadata service may be switched on
SHORTEST_S = 2.0  # between two looks of any kind


class PollingSchedule(Struct, frozen=True, kw_only=True):
    """How long between two looks, and how long one may take. `wait_s`: the service itself holds the answer back."""

    every_s: float
    deadline_s: float = 30.0
    wait_s: int = 0


PACES: Mapping[str, PollingSchedule] = {
    "s3": PollingSchedule(every_s=60),
    "gs": PollingSchedule(every_s=60),
    "https": PollingSchedule(every_s=60),
    "aws-ssm": PollingSchedule(every_s=300),
    # A running instance's user data does not change on EC2 itself; after a stop (or hibernation) they may have, and
    # some who imitate EC2 let them change at any time. The question stays on the machine's host.
    "ec2-user-data": PollingSchedule(every_s=60, deadline_s=10),
    # A hanging GET: an answer within 120 s, so that a connection that was silently lost is noticed as soon.
    "gce-attribute": PollingSchedule(every_s=60, deadline_s=10, wait_s=120),
}


def delay_s(pace: PollingSchedule, chance: float, *, waited_s: float, unchanged: bool) -> float:
    """Return the time from a look that succeeded to the next. `chance`, from 0 to 1, is drawn for each.

    A service that waits is asked again at once, unless it answered "unchanged" too early to have waited.
    """
    if pace.wait_s and not (unchanged and waited_s < pace.wait_s / 2):
        return max(0.0, SHORTEST_S - waited_s)
    return _jittered(pace.every_s, chance)


def retry_s(failures: int, chance: float, *, code: str = "", retry_after_s: float = 0.0) -> float:
    """Return the time to the next look after `failures` failed ones in a row, of which the last had this `code`.

    It doubles, whatever the failure is called: one bad answer costs seconds. `retry_after_s` is the time that the
    service has named; it is left alone for so long, within bounds.
    """
    doubled = FIRST_RETRY_S * 2.0 ** min(failures - 1, 10)
    if code == NO_IDENTITY:
        wait_s = doubled if doubled <= NO_ROLE_S else OTHER_CLOUD_S
    else:
        wait_s = min(doubled, NO_ROLE_S if code in ABSENT_CODES else LAST_RETRY_S)
    return max(_jittered(wait_s, chance), min(retry_after_s, LAST_RETRY_S) * (1 + JITTER * chance))


def _jittered(seconds: float, chance: float) -> float:
    return seconds * (1 - JITTER + 2 * JITTER * chance)
