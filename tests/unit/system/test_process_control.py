"""What a process does to itself is looked at in one of its own: it cannot be undone."""

import subprocess
import sys

import pytest

from credagent.cloud_helper.__main__ import MAX_MEMORY_BYTES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

START = "import ctypes, resource; from credagent.system import process_control\n"
IS_DUMPABLE = "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)"  # PR_GET_DUMPABLE
MEBIBYTE = 1024 * 1024


def said(program: str) -> str:
    """Return what a program prints."""
    done = subprocess.run([sys.executable, "-c", START + program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_is_dumpable_until_it_says_otherwise() -> None:
    assert (
        said(f"before = {IS_DUMPABLE}; print(before, process_control.make_non_dumpable(), {IS_DUMPABLE})") == "1 True 0"
    )


def test_no_core_is_dumped() -> None:
    assert said("process_control.make_non_dumpable(); print(resource.getrlimit(resource.RLIMIT_CORE))") == "(0, 0)"


def test_an_answer_without_end_meets_a_limit() -> None:
    program = f"""process_control.bound_memory({256 * MEBIBYTE})
try:
    bytearray({512 * MEBIBYTE})
except MemoryError:
    print("bounded")"""
    assert said(program) == "bounded"


def test_an_answer_without_end_that_comes_in_pieces_meets_a_limit_below_the_units() -> None:
    """What fits into MemoryMax= beside the agent: the kernel would end the agent with its helper."""
    program = f"""process_control.bound_memory({MAX_MEMORY_BYTES})
body = []
try:
    while len(body) < 512:
        body.append(bytes({MEBIBYTE}))
except MemoryError:
    kept = len(body); body.clear(); print(kept)"""
    assert int(said(program)) < MAX_MEMORY_BYTES // MEBIBYTE


def test_a_tighter_limit_stays() -> None:
    program = f"""resource.setrlimit(resource.RLIMIT_DATA, ({512 * MEBIBYTE},) * 2)
process_control.bound_memory({1024 * MEBIBYTE})
print(resource.getrlimit(resource.RLIMIT_DATA)[0] // {MEBIBYTE})"""
    assert said(program) == "512"


def test_a_process_may_ask_to_die_with_its_parent() -> None:
    assert said("print(process_control.die_with_parent())") == "True"
