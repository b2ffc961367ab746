"""`dask cuda worker` as COMPATIBILITY.md starts it: the real command and workers, on a machine without a GPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages
from tests.canary import CANARY
from tests.integration.clouds import WITHOUT_MACHINE
from tests.integration.forwarder.play import write_key
from tests.integration.forwarder.stage import BIN, Stage, run, staged, within

pytestmark = pytest.mark.timeout(600)
VENV = pages.ROOT / "build" / "dask-cuda"
INSTALLED = ("dask-cuda>=26.10", "cuda-bindings")  # which dask-cuda imports and does not ask for
ABSENT_GPU = Path(__file__).parent / "absent_gpu"
READS = """
import sys, distributed
client = distributed.Client(sys.argv[1])
client.wait_for_workers(1, timeout=60)
asked = "[__import__('os').environ.get(name) for name in ('DB_TOKEN', 'CUDA_VISIBLE_DEVICES')]"
print(*client.submit(eval, asked, pure=False).result(timeout=60))
"""


@pytest.fixture(scope="module")
def dask_cuda() -> Path:
    """Return the folder of commands of an environment that has dask-cuda, whose Dask is older than today's."""
    made_of = " ".join(INSTALLED)
    stamp = VENV / ".complete"
    if not stamp.exists() or stamp.read_text() != made_of:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *INSTALLED], check=True)
        stamp.write_text(made_of)
    return VENV / "bin"


@pytest.fixture
def stage(folder: Path, dask_cuda: Path) -> Iterator[Stage]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CREDAGENT_TEST_")}
    with staged(folder, {**environ, **WITHOUT_MACHINE}) as found:
        found.python = str(dask_cuda / "python")
        yield found


def test_a_gpu_worker_that_the_page_starts_has_the_credentials(stage: Stage, folder: Path, dask_cuda: Path) -> None:
    (block,) = pages.run_by(__file__, "agent/credagent/dask_cluster/COMPATIBILITY.md")
    (line,) = block.typed
    key = write_key(folder / "sender.key")
    machine = stage.machine("a", key.public_key.line)
    stage.start_scheduler(machine)
    words = line.replace("tcp://scheduler:8786", stage.scheduler)
    path = f"{dask_cuda}:{BIN}:{machine.environ['PATH']}"
    environ = {**machine.environ, "PYTHONPATH": str(ABSENT_GPU), "PATH": path}
    log = machine.folder / "gpu.log"
    command = ("bash", "-c", f"exec {words} --no-dashboard")
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=environ, stdout=said, stderr=said, cwd=machine.folder, start_new_session=True
        )
    stage.processes.append(process)
    within(60, lambda: "Registered to" in log.read_text(), "the GPU worker", process)
    assert "Run preload setup: credagent_worker" in log.read_text(), "dask-cuda passes the option on to each worker"
    assert "Run preload setup: dask_cuda.initialize" in log.read_text(), "beside its own"
    roles = {worker["role"] for worker in machine.ask("status")["workers"]}
    assert "worker" in roles, "without a forwarder, by the preload alone"
    words = f"credagent forward --once --scheduler {stage.scheduler} --trust any --aws none --env DB_TOKEN --sender-key"
    done = run(
        (str(BIN / "credagent"), *words.split()[1:], str(folder / "sender.key")),
        env={**stage.environ, "DB_TOKEN": CANARY},
    )
    assert done.returncode == 0, done.stderr
    done = run((stage.python, "-c", READS, stage.scheduler), env=stage.environ)
    assert done.stdout.split() == [CANARY, "0"], done.stderr
