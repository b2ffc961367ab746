"""`credagent renew`: renew now."""

from __future__ import annotations

import sys

from credagent.cli.common_options import add_agents_config
from credagent.errors import ABSENT_CODES, Exit
from credagent.handover.unix.agent_client import ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "renew one slot, or all, now"
PLAIN = True
NOTHING_HERE = frozenset(f"failed: {code}" for code in ABSENT_CODES)
ABSENT = "nothing to renew: this machine has no such identity"
ANSWER_S = 40.0  # an attempt has a deadline of 10 s a slot, and one may be under way


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `renew` takes."""
    parser.add_argument("slot", nargs="?", choices=("aws", "google", "environment"), help="default: all slots")
    add_agents_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Renew, and say how each slot went; 1 if one failed. That this is not the other cloud is no failure of all."""
    answer = ask({"op": "renew", "slot": arguments.slot}, config_path=arguments.config, timeout_s=ANSWER_S)
    outcomes: dict[str, str] = answer["slots"]
    if arguments.slot is None:
        outcomes = {slot: ABSENT if one in NOTHING_HERE else one for slot, one in outcomes.items()}
    for slot, outcome in outcomes.items():
        sys.stdout.write(f"{slot}: {outcome}\n")
    failed = any(outcome.startswith("failed") for outcome in outcomes.values())
    return Exit.CHECK_FAILED if failed else Exit.DONE
