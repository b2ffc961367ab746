"""The state of the whole simulated cloud, shared by its faces. It answers no request itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .accounts import Account
from .faults import Faults
from .identity_tokens import IdentityTokens
from .ledger import Ledger
from .objects import Buckets
from .project import Project


class Cloud:
    """One AWS account and one Google project, a ledger, planned faults, and the time as the clouds see it."""

    def __init__(self, clock: Callable[[], float] = time.time, *, check_request_time: bool | None = None) -> None:
        """`check_request_time` refuses signatures that are 15 minutes off.

        It is off where the clock was injected, since real clients sign with the real time.
        """
        self.clock = clock
        self.skew_s = 0.0
        self.check_request_time = (clock is time.time) if check_request_time is None else check_request_time
        self.ledger = Ledger()
        self.faults = Faults()
        self.account = Account()
        self.project = Project()
        self.identity_tokens = IdentityTokens()
        self.s3 = Buckets(self.now)
        self.gcs = Buckets(self.now)
        self.lifetimes: dict[str, float] = {}
        self.stopping = threading.Event()

    def now(self) -> float:
        """The time of the clouds' own clocks; `Date` headers, expiries and their enforcement all follow it."""
        return self.clock() + self.skew_s

    def lifetime(self, service: str, asked_s: float) -> float:
        """What a credential of this service gets, whatever was asked for, where the tests have said so."""
        return self.lifetimes.get(service, asked_s)
