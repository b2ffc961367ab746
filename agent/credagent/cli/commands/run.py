"""`credagent run`: the daemon, or with `--once` one resolution without one."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "run the agent: open what is delivered, hand it to workers, renew it"
PLAIN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `run` takes."""
    parser.add_argument(
        "--config",
        metavar="F",
        help="the configuration (default: your own ~/.config/credagent/config.toml, else /etc/credagent/config.toml)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="resolve, write worker.env, and exit: 65 if a bundle was refused and none is in force, "
        "69 if a required slot stays empty; binds nothing, and writes nothing where a daemon runs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    if arguments.once:
        from credagent.cli.commands.status import explained
        from credagent.daemon import run_once

        return run_once.run(arguments.config, os.environ, lambda document: sys.stdout.write(explained(document)))
    from credagent.daemon import startup

    return startup.run(arguments.config, os.environ)
