"""How long tests wait: every wait for something that will come, times one factor from the environment.

A machine that is busy with other work sets `CREDAGENT_TEST_PATIENCE=4`. The factor lengthens waits only: no test
asserts how long something took.
"""

import os

FACTOR = max(float(os.environ.get("CREDAGENT_TEST_PATIENCE") or 1), 1.0)


def scaled(seconds: float) -> float:
    """Return how long to wait, on this machine, for what takes less than `seconds` on an idle one."""
    return seconds * FACTOR
