"""A worker's Python is not the agent's: the module runs under each that can be had here, with nothing installed."""

import os
import subprocess

import pytest

from credagent.worker import credagent_worker
from tests.interpreters import pythons
from tests.standin import Running

MINORS = range(9, 15)

PROGRAM = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import credagent_worker

class Worker:
    address = "tcp://10.0.0.2:40000"

asyncio.run(credagent_worker.dask_setup(Worker()))
print(os.environ["DB"], flush=True)
sys.stdin.readline()
while os.environ["DB"] != "2":
    pass
credagent_worker.dask_teardown(Worker())
print(credagent_worker.ask({"op": "identity"})["audience"], flush=True)
"""


@pytest.mark.parametrize("minor", MINORS)
def test_the_module_runs_under_python_3(minor: int, agent: Running) -> None:
    python = next(iter(pythons(minor).values()), None)
    if python is None:
        pytest.skip(f"no Python 3.{minor} here")
    agent.agent.set({"DB": "1"})
    command = [python, "-I", "-W", "error", "-c", PROGRAM, os.path.dirname(credagent_worker.__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin
        assert worker.stdout
        assert worker.stdout.readline() == "1\n"
        agent.replace({"DB": "2"})
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "lab\n"
    assert worker.returncode == 0
