"""A helper that a cloud feeds without end fails, and the agent beside it does not: both fit into the unit."""

import re
from pathlib import Path

from credagent.cloud_helper.__main__ import MAX_MEMORY_BYTES

UNIT = (Path(__file__).parents[3] / "systemd" / "credagent.service").read_text()
MEBIBYTE = 1024 * 1024
AGENT_BYTES = 64 * MEBIBYTE


def test_agent_and_helper_fit_into_what_the_unit_may_take() -> None:
    (limit,) = re.findall(r"^MemoryMax=(\d+)M$", UNIT, re.MULTILINE)
    assert int(limit) * MEBIBYTE > AGENT_BYTES + MAX_MEMORY_BYTES


def test_the_end_of_a_helper_for_want_of_memory_is_not_the_agents() -> None:
    assert re.findall(r"^OOMPolicy=(\w+)$", UNIT, re.MULTILINE) == ["continue"]
