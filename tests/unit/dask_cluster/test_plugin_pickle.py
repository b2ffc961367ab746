"""What is sent to workers unpacks where nothing of credagent is, and holds no secret."""

import pickletools
import subprocess
import sys

import pytest

from credagent.dask_cluster import plugin_pickle
from tests.patience import scaled

pytest.importorskip("distributed")

SETTINGS = {"sender": "ab" * 16, "mailbox": True}
UNPACK = """
import pickle, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [path for path in sys.path if "/agent" not in path]
plugin = pickle.load(sys.stdin.buffer)
assert "credagent" not in sys.modules
print(plugin.name, [kind.__name__ for kind in type(plugin).__mro__[1:2]])
"""


@pytest.mark.parametrize(
    ("pickled", "expected"),
    [
        (plugin_pickle.for_workers(SETTINGS), "credagent-forwarding ['WorkerPlugin']"),
        (plugin_pickle.for_scheduler(SETTINGS), "credagent-forwarding-scheduler ['SchedulerPlugin']"),
    ],
    ids=["workers", "scheduler"],
)
def test_it_unpacks_without_credagent(pickled: bytes, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", UNPACK], input=pickled, capture_output=True, check=False, timeout=scaled(60)
    )
    assert (done.returncode, done.stdout.decode().strip()) == (0, expected), done.stderr.decode()


def opcodes(name: str | None = None) -> list[object]:
    pickled = plugin_pickle.for_workers(SETTINGS)
    return [argument for opcode, argument, _ in pickletools.genops(pickled) if name in (None, opcode.name)]


def test_it_names_nothing_but_the_standard_library() -> None:
    assert [argument for argument in opcodes() if isinstance(argument, str)][:2] == ["builtins", "eval"]
    assert len(opcodes("STACK_GLOBAL")) + len(opcodes("GLOBAL")) == 1


def test_it_is_read_by_every_python_that_dask_supports() -> None:
    assert opcodes("PROTO") == [4]
