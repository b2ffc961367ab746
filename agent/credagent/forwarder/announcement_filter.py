"""What is believed of what processes announce by themselves. No I/O.

An event names its author itself, and every task may log one: a flood in the names of machines that never were would
keep the honest ones waiting. So an announcement counts for a process that the scheduler lists, and only where nothing
is known of it yet. Whatever else it says is asked for at that process's own address.
"""

from collections import Counter
from enum import Enum

from msgspec import Struct

from credagent.dask_cluster.agent_report import SCHEDULER, AgentReport
from credagent.forwarder.known_machines import KnownMachines

LETTERS = 10_000  # processes that wait for mail at once; who finds no room has waited in vain, and says so
LETTERS_IN_ONE_NAME = 4  # a worker that its nanny restarts asks again


class AnnouncementVerdict(str, Enum):
    """What an announcement is good for."""

    NEWS = "news"
    NOTHING = "nothing"
    DOUBT = "doubt"  # the one that is named has to be asked
    UNLISTED = "unlisted"  # the scheduler has to be asked who is there


class MailRequest(Struct, frozen=True, kw_only=True):
    """Somebody waits for mail since `at`, of the monotonic clock."""

    report: AgentReport
    at: float


class Announcements:
    """Whom the scheduler lists, and what an announcement is good for."""

    def __init__(self) -> None:
        """Know of nobody but the scheduler."""
        self._listed = frozenset({SCHEDULER})
        self.listed_at = float("-inf")

    def take_list(self, addresses: set[str], at: float) -> None:
        """Take in whom the scheduler listed when it was asked at `at`."""
        self._listed, self.listed_at = frozenset(addresses) | {SCHEDULER}, at

    def lists(self, address: str) -> bool:
        """Tell whether the last list has it."""
        return address in self._listed

    def believe(self, report: AgentReport, roster: KnownMachines) -> AnnouncementVerdict:
        """Say what an announcement is good for."""
        if not self.lists(report.address):
            return AnnouncementVerdict.UNLISTED
        if not roster.knows(report.address):
            return AnnouncementVerdict.NEWS
        return AnnouncementVerdict.NOTHING if roster.repeats(report) else AnnouncementVerdict.DOUBT


class Room:
    """How many wait for mail, in all and in one name."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._waiting: Counter[str] = Counter()
        self._all = 0

    def enter(self, address: str) -> bool:
        """Let one in if there is room. Followed by `leave` when it was answered."""
        if self._waiting[address] >= LETTERS_IN_ONE_NAME or self._all >= LETTERS:
            return False
        self._all += 1
        self._waiting[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Note that one has been answered."""
        self._all -= 1
        self._waiting[address] -= 1
        if self._waiting[address] <= 0:
            del self._waiting[address]
