"""Workers on machines that are reached by SSH and run the agent (`apt-get install ./credagent_….deb` on each).

SSHCluster hands this machine's Dask configuration to the workers, over theirs; so the preload goes by the environment
of the remote command, where nothing of it is lost.
"""

import sys

import credagent

WORKER_PATH = "/usr/share/credagent/worker"


def remote_python(python: str = sys.executable) -> str:
    """Return the command that starts Python on the other machine with the worker's side of credagent in reach."""
    preloads = " ".join(f"DASK_DISTRIBUTED__{role}__PRELOAD=credagent_worker" for role in ("WORKER", "SCHEDULER"))
    return f"env PYTHONPATH={WORKER_PATH} {preloads} {python}"


def main(hosts: list[str]) -> None:
    """Start a scheduler on the first host and workers on the others, and forward to them."""
    from dask.distributed import Client, SSHCluster

    with (
        SSHCluster(hosts, remote_python=remote_python("python3")) as cluster,
        Client(cluster) as client,
        # SSH brought the scheduler's address; over its plain TCP the keys are believed as they are now.
        credagent.forward_credentials(client, trust="first-use") as forwarding,
    ):
        print(forwarding.status())


if __name__ == "__main__":
    main(sys.argv[1:])
