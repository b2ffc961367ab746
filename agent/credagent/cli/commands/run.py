"""`credagent run`: the daemon, or with `--once` one resolution without one."""

import os
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

SUMMARY = "run the agent: open what is delivered, hand it to workers, renew it"


def plain(words: Sequence[str]) -> SimpleNamespace | None:
    """Return the arguments of a daemon as service managers start it, read without loading what parses options."""
    match words:
        case []:
            return SimpleNamespace(config=None, once=False)
        case ["--config", path] if not path.startswith("-"):
            return SimpleNamespace(config=path, once=False)
        case _:
            return None


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """Say what `run` takes."""
    parser.add_argument("--config", metavar="F", help="the configuration (default: /etc/credagent/config.toml)")
    parser.add_argument(
        "--once",
        action="store_true",
        help="resolve, write worker.env, and exit: 65 if a bundle was refused and none is in force, "
        "69 if a required slot stays empty; binds nothing, and writes nothing where a daemon runs",
    )


def run(arguments: "argparse.Namespace | SimpleNamespace") -> int:
    """Run until told to stop."""
    if arguments.once:
        from credagent.cli.commands.status import explained
        from credagent.daemon import run_once

        return run_once.run(arguments.config, os.environ, lambda document: sys.stdout.write(explained(document)))
    from credagent.daemon import startup

    return startup.run(arguments.config, os.environ)
