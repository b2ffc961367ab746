"""`credagent withdraw`: make a sealed bundle that takes slots back."""

import argparse
import os

from credagent.cli.commands.seal import seal_to
from credagent.cli.seal_options import add_sealing_arguments, identity_options
from credagent.credentials import Slot

SUMMARY = "make a sealed bundle that takes credentials back from machines"
EPILOG = """\
The bundle replaces the one in force. What else that one granted (variables, a Google identity) is declined, unless
the options grant it again: repeat those of `credagent seal` for what should stay.

Example:
  credagent withdraw aws --env DB_TOKEN --recipient node.pub --sender-key sender.key --audience lab --out bundle
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `withdraw` takes: the slots, and everything `seal` takes for the others."""
    parser.add_argument(
        "slots", nargs="+", choices=[slot.value for slot in Slot], metavar="SLOT", help="aws, google or environment"
    )
    add_sealing_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Seal the withdrawal."""
    options = identity_options(
        arguments, os.environ, audience=arguments.audience, allow_missing=arguments.allow_missing
    )
    return seal_to(arguments, options)
