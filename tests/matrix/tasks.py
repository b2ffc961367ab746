"""What the workers of the matrix are told to do: make an object, read with it, and say how that ended."""

import concurrent.futures
import os
import subprocess
import sys
import time
from typing import Any

from tests.matrix.programs import PROGRAMS
from tests.matrix.reading import ROWS
from tests.matrix.rows import S3_VARIABLE

OK, HANGS = "", "hangs"
NEW_OBJECT_S = 20.0  # a client that is still trying after this is said to hang
PROGRAM_EVERY_S = 5.0  # starting a program for each read keeps a core busy for a second
FRESH_SESSION = "import sys; from tests.matrix.tasks import first_use; sys.exit(first_use('boto3 own') != '')"
REFUSES_ITSELF = {"opendal": "expires before the requested operation deadline"}
"""What a client says that does not try a session which is valid.

reqsign, in OpenDAL, demands of each that it lives for ten more seconds (CREDENTIAL_OPERATION_HEADROOM of
reqsign-aws-v4). That is a sixtieth of the shortest session that AWS gives, and two fifths of one of 25 seconds.
"""
_kept: dict[str, Any] = {}


def first_use(row: str) -> str:
    """Make the object that is kept, and read with it."""
    try:
        make, read = ROWS[row]
        _kept[row] = make()
        read(_kept[row])
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def new_object(row: str) -> str:
    """Make another object in the same process, and read with it."""
    try:
        make, read = ROWS[row]
        read(make())
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def read_again(row: str) -> str:
    """Read with the object that was kept."""
    try:
        ROWS[row][1](_kept[row])
    except Exception as error:  # noqa: BLE001  how it ended is the result
        return _said(error)
    return OK


def keep_reading(row: str, seconds: float, every_s: float) -> list[str]:
    """Read with the object that was kept, again and again; return how each reading ended."""
    ends, outcomes = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        outcomes.append(read_again(row))
        time.sleep(max(every_s, PROGRAM_EVERY_S) if row in PROGRAMS else every_s)
    return outcomes


def keep_reading_beside_a_fresh_session(row: str, seconds: float, every_s: float) -> tuple[int, list[tuple[str, bool]]]:
    """Keep reading; return how often, and of each failure whether a fresh boto3 session could read at that moment.

    Where the client refuses by a rule of its own what boto3 reads with, given the same by the agent, it could not.
    """
    ends, reads, failed = time.monotonic() + seconds, 0, []
    while time.monotonic() < ends:
        reads += 1
        if (said := read_again(row)) != OK:
            itself = REFUSES_ITSELF.get(row, said + "?") in said and _fresh_session_reads(beside_the_agent=False)
            failed.append((said, not itself and _fresh_session_reads()))
        time.sleep(every_s)
    return reads, failed


def _fresh_session_reads(*, beside_the_agent: bool = True) -> bool:
    """Tell whether a new boto3 session reads what its row reads.

    `beside_the_agent`: without this environment, left to the machine's own metadata; else with what the agent gives.
    """
    kept = ("PATH", "HOME", "PYTHONPATH", "AWS_DEFAULT_REGION", S3_VARIABLE)
    command = [sys.executable, "-c", FRESH_SESSION]
    environ = {name: os.environ[name] for name in (kept if beside_the_agent else os.environ)}
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0


def while_away(row: str, seconds: float) -> tuple[list[str], str]:
    """Read for a while with the object that was kept, and once with a new one; return how all that ended."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    anew = pool.submit(new_object, row)
    outcomes = keep_reading(row, seconds, 5.0)
    try:
        new = anew.result(NEW_OBJECT_S)
    except TimeoutError:
        new = HANGS
    pool.shutdown(wait=False)
    return outcomes, new


def process() -> int:
    """Return which process this is."""
    return os.getpid()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
