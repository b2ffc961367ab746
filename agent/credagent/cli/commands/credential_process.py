"""`credagent credential-process`: for `credential_process = credagent credential-process` in ~/.aws/config.

Every SDK that reads a configuration file asks this whenever what it has is about to expire; the answer is the agent's.
"""

from __future__ import annotations

import json
import sys

from credagent.cli.common_options import add_agents_config
from credagent.errors import Exit
from credagent.handover.unix.agent_client import ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "answer as an AWS credential_process, from the running agent"
PLAIN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `credential-process` takes."""
    add_agents_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the document; an empty slot and an agent that is away are both exit 69, and nothing on stdout."""
    answer = ask({"op": "credential-process"}, config_path=arguments.config)
    json.dump(answer["document"], sys.stdout)
    sys.stdout.write("\n")
    return Exit.DONE
