"""`credagent exec`: run a command with credentials."""

from __future__ import annotations

import os

from credagent.cli.common_options import add_config, duration
from credagent.exec.child_process import GRACE_S
from credagent.exec.renewal_action import SPREAD_S, parse_on_renewal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "run a command with credentials, safely as PID 1"
PLAIN = True
EPILOG = """\
Attaches to the agent that runs on this machine. Where there is none it is the agent itself, so that it can be a
container's entrypoint; further `exec` of the same user share that agent, and one of them goes on with it when the
first ends. With CREDAGENT_SOCKET set it only attaches, and waits for the agent there as long as
CREDAGENT_WORKER_WAIT says. Exits as the command does: its status, or 128 + the signal that killed it;
127 where there is no such command, 126 where it cannot be started.

  credagent exec -- dask worker tls://scheduler:8786
  credagent exec --user dask -- /usr/bin/prepare.sh
  credagent exec --on-renewal signal:HUP -- my-service
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `exec` takes."""
    add_config(parser)
    parser.add_argument("--user", metavar="U", help="as root: the user (name or uid) as whom the command runs")
    parser.add_argument(
        "--on-renewal",
        metavar="none|signal:SIG|restart",
        default="none",
        help="what to do when credentials were renewed (default: none; Dask workers renew by themselves)",
    )
    parser.add_argument(
        "--grace",
        metavar="D",
        type=duration,
        default=GRACE_S,
        help=f"restart: how long the command may take to end before its whole tree is killed (default: {GRACE_S:.0f}s)",
    )
    parser.add_argument(
        "--spread",
        metavar="D",
        type=duration,
        default=SPREAD_S,
        help=f"restart: wait a chance time up to this, lest a cluster restart at once (default: {SPREAD_S:.0f}s)",
    )
    parser.add_argument("command", metavar="-- CMD", nargs="*", help="the command and its arguments")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and end as it ends."""
    from credagent.exec import run_program
    from credagent.exec.program_start import ExecRequest

    request = ExecRequest(
        command=run_program.checked(arguments.command),
        config_path=arguments.config,
        user=arguments.user,
        on_renewal=parse_on_renewal(arguments.on_renewal, grace_s=arguments.grace, spread_s=arguments.spread),
    )
    return run_program.run(request, os.environ)
