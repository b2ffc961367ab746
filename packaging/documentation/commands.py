"""The parser of each command that this build has, as the command line makes it: for manual and completions."""

import argparse
import importlib
from collections.abc import Iterator

from credagent.cli.command_table import COMMANDS, Command


def parsers() -> Iterator[tuple[str, Command, argparse.ArgumentParser]]:
    """Yield name, entry and parser, in the order of the overview."""
    for name, entry in COMMANDS.items():
        try:
            module = importlib.import_module(f"credagent.cli.commands.{entry.module}")
        except ModuleNotFoundError:
            continue
        epilog = getattr(module, "EPILOG", None)
        parser = argparse.ArgumentParser(prog=f"credagent {name}", description=module.SUMMARY, epilog=epilog)
        module.add_arguments(parser)
        yield name, entry, parser
