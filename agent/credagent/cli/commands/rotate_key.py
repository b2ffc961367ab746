"""`credagent rotate-key`: make this machine a new key, and keep the old one for bundles that are on their way."""

import argparse
import os
import sys

from credagent.cli.common_options import add_config, config, reload_command
from credagent.errors import ConfigurationError

SUMMARY = "make this machine a new key, and keep the old one for a while"
EPILOG = """\
Bundles that were sealed to the old key are opened for another 30 days. Reload the agent afterwards
(`systemctl reload credagent`, or SIGHUP), and give senders the new public key, which is printed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `rotate-key` takes."""
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Rotate the key of `agent.state_dir` as the user whose folder that is, and print the new public line."""
    from credagent.admission import machine_key

    reload = reload_command()
    state_dir = config(arguments).agent.state_dir
    if not machine_key.exists(state_dir):
        hint = "the agent makes one when it starts for the first time"
        raise ConfigurationError("no-key", "this machine has no key yet", what=state_dir, hint=hint)
    if os.geteuid() == 0:
        owner = os.stat(state_dir)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)  # else root would leave a key that the agent's user cannot read
    print(machine_key.rotate(state_dir).public_key.line)
    print(f"credagent: reload the agent ({reload}), and give senders this key", file=sys.stderr)
    return 0
