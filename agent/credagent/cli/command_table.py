"""The table of commands: which module serves each, and the overview that `credagent --help` shows."""

from collections.abc import Mapping

CLUSTER, LAPTOP, BOTH = "On a cluster machine", "On your own machine", "On both"


class Command:
    """A command's module in `credagent.cli.commands`, where it is used, and what it does in a line."""

    __slots__ = ("module", "place", "summary")

    def __init__(self, module: str, place: str, summary: str) -> None:
        """Keep the three; no Struct, since msgspec takes longer to load than most commands."""
        self.module, self.place, self.summary = module, place, summary


COMMANDS: Mapping[str, Command] = {
    "run": Command("run", CLUSTER, "the daemon: takes sealed bundles, hands over credentials, renews them"),
    "exec": Command("exec", CLUSTER, "runs a command with credentials; a container's entrypoint"),
    "status": Command("status", CLUSTER, "what each slot holds, where from, until when, and who uses it"),
    "env": Command("env", CLUSTER, "what a worker would get now, values masked"),
    "credential-process": Command("credential_process", CLUSTER, "answers as an AWS credential_process"),
    "renew": Command("renew", CLUSTER, "renews now"),
    "doctor": Command("doctor", CLUSTER, "checks this machine from end to end, with a remedy for each finding"),
    "explain": Command("explain", BOTH, "what an error code, log event or exit status means, and what to do"),
    "rotate-key": Command("rotate_key", CLUSTER, "makes this machine a new key, and keeps the old one for a while"),
    "public-key": Command("public_key", CLUSTER, "the public key of this machine, or of a key file"),
    "check-config": Command("check_config", CLUSTER, "reads the configuration and explains it"),
    "trust": Command("trust", CLUSTER, "lets a sender's bundles in, on this machine or for this user"),
    "worker-path": Command("worker_path", CLUSTER, "the folder of credagent_worker.py, for PYTHONPATH"),
    "forward": Command("forward", LAPTOP, "keeps a running Dask cluster supplied with your identity"),
    "seal": Command("seal", LAPTOP, "makes a sealed bundle"),
    "deliver": Command("deliver", LAPTOP, "puts a sealed bundle on a channel"),
    "withdraw": Command("withdraw", LAPTOP, "makes a bundle that takes credentials back"),
    "whoami": Command("whoami", BOTH, "which identity would be forwarded, or which one a worker here signs with"),
    "keygen": Command("keygen", BOTH, "makes the key of a sender or of a recipient"),
    "inspect": Command("inspect", BOTH, "what a sealed bundle says, never its values"),
}

_HEAD = """\
usage: credagent COMMAND [OPTIONS]

Code that reads your private data on your own machine reads it unchanged on your Dask cluster,
and nobody on the way can read your credentials.
"""

_TAIL = """
Examples:
  credagent forward --scheduler tls://10.0.0.1:8786     supply a running cluster from here
  credagent exec -- dask worker tls://10.0.0.1:8786     start a worker with credentials
  credagent status                                      see what this machine holds

`credagent COMMAND --help` explains each. --version says which this is; --debug shows a trace with an error.
"""


def overview() -> str:
    """Return what teaches somebody who typed `credagent` alone."""
    lines = [_HEAD]
    for place in (CLUSTER, LAPTOP, BOTH):
        lines.append(f"\n{place}:\n")
        lines += [f"  {name:<20}{entry.summary}\n" for name, entry in COMMANDS.items() if entry.place == place]
    return "".join([*lines, _TAIL])
