"""What the kernel says of subscribed processes: whether the one that connected is still there."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from credagent.daemon import process_look
from credagent.daemon.process_look import is_gone

NOW = datetime.now(UTC)


def test_this_process_is_there_and_has_memory_of_its_own() -> None:
    assert not is_gone(os.getpid(), datetime.now(UTC))
    rss_bytes, uss_bytes = process_look.memory_bytes()
    assert rss_bytes
    assert uss_bytes
    assert uss_bytes < rss_bytes


def test_a_number_that_was_known_before_its_process_began_is_another_process() -> None:
    assert is_gone(os.getpid(), datetime.now(UTC) - timedelta(days=20 * 365))


def test_a_process_that_has_ended_is_gone_also_while_its_child_keeps_the_connection() -> None:
    with subprocess.Popen([sys.executable, "-I", "-c", ""]) as ended:
        pass
    assert is_gone(ended.pid, datetime.now(UTC))


def test_nobody_knows_whether_a_process_of_another_pid_namespace_is_gone() -> None:
    assert not is_gone(0, NOW)
