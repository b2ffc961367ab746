"""`credagent env`: what a worker would get now, from the running agent, else resolved once without writing anything."""

from __future__ import annotations

import os
import sys

from credagent.cli.common_options import add_agents_config
from credagent.errors import Exit, Unavailable
from credagent.handover.unix.agent_client import ask
from credagent.secret import Secret
from credagent.worker_environment import formats

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from credagent.worker_environment.formats import Environment

SUMMARY = "show what a worker would get now: names, or with --format values, masked unless --reveal"
PLAIN = True
MASK = Secret("***")


def _names(environment: Environment) -> str:
    return "".join(f"{name}\n" for name in environment)


FORMATS: Mapping[str, Callable[[Environment], str]] = {
    "names": _names,
    "dotenv": formats.dotenv,
    "shell": formats.shell,
    "json": formats.as_json,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `env` takes."""
    parser.add_argument("--format", choices=tuple(FORMATS), default="names", help="default: names")
    parser.add_argument(
        "--reveal", action="store_true", help="show values (not with names): whoever sees them can use them"
    )
    add_agents_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Nothing at all is an answer too: such a worker gets nothing."""
    environment = _environment(arguments.config)
    if not arguments.reveal:
        environment = dict.fromkeys(environment, MASK)
    sys.stdout.write(FORMATS[arguments.format](environment))
    return Exit.DONE


def _environment(config_path: str | None) -> Environment:
    try:
        document = ask({"op": "set"}, config_path=config_path)
    except Unavailable as error:
        if error.code != "no-agent":
            raise
        return _resolved_once(config_path)
    if not document["settled"]:
        sys.stderr.write("credagent: the agent has just started and has not tried every slot yet\n")
    return {name: Secret(value) for name, value in document["environment"].items()}


def _resolved_once(config_path: str | None) -> Environment:
    from credagent import config
    from credagent.cli.commands.status import explained
    from credagent.daemon import run_once
    from credagent.system.process_control import make_non_dumpable

    make_non_dumpable()
    sys.stderr.write("credagent: no agent runs here; this is what one would find now\n")
    document, view = run_once.resolve(config.load(config_path, os.environ), os.environ)
    sys.stderr.write(explained(document))
    return view.environment
