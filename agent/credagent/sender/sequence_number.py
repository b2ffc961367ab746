"""The number that orders a sender's bundles, and the file that keeps it from ever going back.

The number is the wall clock in microseconds, at least the previous one plus one, so that two bundles of one key never
carry the same number and agents can refuse a replay by one comparison. One file for each sender key, under a lock.
"""

import os
import time
from collections.abc import Mapping
from datetime import datetime

from credagent.admission.rules import CLOCK_LEEWAY
from credagent.bundle.timestamps import NUMBER_LIMIT, microseconds_of, moment_of
from credagent.errors import ConfigurationError, InternalError, OutputError
from credagent.system import file_lock
from credagent.system.file_reading import read_private
from credagent.system.file_writing import write_private
from credagent.system.private_folder import make_private_folder

LOCK_WAIT_S = 5.0
_FILE_BYTES = 32


def following(now_us: int, previous: int) -> int:
    """Return the next sequence: the clock, unless it stands still or went back."""
    sequence = max(now_us, previous + 1)
    if not 0 < sequence < NUMBER_LIMIT:
        raise InternalError("sequence-range", "the clock of this machine is out of range", hint="set the clock")
    return sequence


def state_folder(environ: Mapping[str, str]) -> str:
    """Return this user's folder for what the sending side remembers (XDG base directories)."""
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "credagent")


def reserve(folder: str, sender_id: str, now: datetime) -> int:
    """Return the next sequence of `sender_id` (a key id) and remember it before it is used.

    Raises OutputError where the folder cannot be written: a bundle that might be numbered like an earlier one is not
    made. Raises ConfigurationError where the file does not hold a number.
    """
    make_private_folder(folder)
    path = os.path.join(folder, f"sequence-{sender_id}")
    with _locked(f"{path}.lock"):
        sequence = following(microseconds_of(now), _read(path))
        write_private(path, f"{sequence}\n".encode())
    return sequence


def runs_ahead(sequence: int, now: datetime) -> bool:
    """Tell whether agents with the right time would refuse `sequence` as one from the future."""
    return moment_of(sequence) > now + CLOCK_LEEWAY


def _read(path: str) -> int:
    if not os.path.lexists(path):
        return 0
    text = read_private(path, _FILE_BYTES).strip()
    if not text.isdigit():
        hint = "remove the file if you are sure that no bundle of this key was made in the future"
        raise ConfigurationError("sequence-unreadable", "does not hold a number", what=path, hint=hint)
    return int(text)


def _locked(path: str) -> file_lock.Lock:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        lock = file_lock.lock(path)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            hint = "another `credagent` of this user hangs while it holds it: end that one"
            raise OutputError("sequence-locked", f"locked for more than {LOCK_WAIT_S:.0f} s", what=path, hint=hint)
        time.sleep(0.005)
