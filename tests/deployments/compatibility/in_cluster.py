"""What is done as a Dask client: `python in_cluster.py WHAT SCHEDULER …`, by the Python and the Dask that are tried.

Ends with 0 where it was as it should be; else with an exception. Imports nothing of credagent: a cluster's own
environment has nothing of it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time

import distributed

SECRET = sys.argv[-1]
READ = "__import__('os').environ.get('DB_TOKEN', 'none')"
PATIENCE_S = 120
REPEATS = 9


def connect(address: str, **how: object) -> distributed.Client:
    return distributed.Client(address, timeout=PATIENCE_S, set_as_default=True, **how)


def all_read(client: distributed.Client, workers: int) -> None:
    """Each worker has it within reach of its first task: nobody waits here for more than the workers themselves."""
    client.wait_for_workers(workers, timeout=PATIENCE_S)
    found = set(client.run(eval, READ).values())
    assert found == {SECRET}, f"a worker has another value ({len(found)} different ones)"


def reads(address: str, workers: str) -> None:
    with connect(address) as client:
        all_read(client, int(workers))


def restart(address: str, workers: str) -> None:
    with connect(address) as client:
        client.wait_for_workers(int(workers), timeout=PATIENCE_S)
        client.restart(timeout=PATIENCE_S)
        all_read(client, int(workers))


def killed(address: str, workers: str) -> None:
    with connect(address) as client:
        client.wait_for_workers(int(workers), timeout=PATIENCE_S)
        victim = next(iter(client.scheduler_info()["workers"]))
        pids = client.run(os.getpid)
        client.run(os.kill, pids[victim], 9, workers=[victim], on_error="ignore")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            now = client.run(os.getpid, on_error="ignore")
            if len(now) == int(workers) and pids[victim] not in now.values():
                break
            time.sleep(0.1)
        all_read(client, int(workers))


def shuffle(address: str, workers: str) -> None:
    import dask
    import dask.array

    with connect(address) as client, dask.config.set({"array.rechunk.method": "p2p"}):
        numbers = dask.array.ones((400, 400), chunks=(40, 400)).rechunk((400, 40))
        assert "p2p" in " ".join(map(str, numbers.dask)), "this Dask chose another way"
        assert numbers.sum().compute() == 160_000
        all_read(client, int(workers))


def upload(address: str, workers: str) -> None:
    with connect(address) as client, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sent_along.py")
        with open(path, "w") as file:
            file.write("import os\ndef token():\n    return os.environ['DB_TOKEN']\n")
        client.upload_file(path)
        assert client.submit(eval, "__import__('sent_along').token()", pure=False).result(PATIENCE_S) == SECRET


def adaptive(_address: str, _workers: str) -> None:
    """This process has the cluster; whoever started it forwards to the address that it prints, and then says so."""
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()
        cluster.adapt(minimum=0, maximum=2, interval="100ms")
        with connect(cluster.scheduler_address) as client:
            futures = [client.submit(eval, f"(__import__('time').sleep(.1), {READ})[1]", pure=False) for _ in range(8)]
            assert set(client.gather(futures)) == {SECRET}, "a worker that was added had another value"


def overhead(with_it: str, without: str) -> None:
    """Print the medians in seconds of a thousand tasks with and without forwarding, in turn on one machine."""
    seconds: dict[str, list[float]] = {with_it: [], without: []}
    clients = {address: connect(address) for address in seconds}
    for client in clients.values():
        client.wait_for_workers(2, timeout=PATIENCE_S)
        client.gather(client.map(int, range(1_000), pure=False))
    for _ in range(REPEATS):
        for address, client in clients.items():
            began = time.perf_counter()
            client.gather(client.map(int, range(1_000), pure=False))
            seconds[address].append(time.perf_counter() - began)
    print(json.dumps([statistics.median(seconds[with_it]), statistics.median(seconds[without])]))
    for client in clients.values():
        client.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:-1])
