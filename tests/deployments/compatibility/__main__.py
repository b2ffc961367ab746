"""`make compatibility`: measure, write the page, and end with 1 where something that was tried did not work."""

import argparse
import sys
from collections.abc import Iterator

from tests.deployments.compatibility import table
from tests.deployments.compatibility.environments import TODAY, environments
from tests.deployments.compatibility.story import Story

THOROUGH = 12  # the minor version of Python under which the costly things are tried, once


def main(arguments: argparse.Namespace) -> int:
    """Play the story in each environment that this machine can have, or in those that were named."""
    columns: dict[str, dict[str, str]] = {}
    overhead = None
    for environment in environments(dict(_given(arguments.python)), arguments.only):
        print(environment.name if environment.python else f"{environment.name}: not on this machine", flush=True)
        if not environment.python:
            continue
        story = Story(environment)
        thorough = environment.distributed == TODAY and environment.minor == THOROUGH
        story.play(many_workers=thorough)
        columns[environment.name] = story.outcomes
        if not arguments.only:
            table.write(columns, overhead)
        if thorough:
            overhead = story.overhead()
            print(f"  1,000 tasks: {overhead[0]:.3f} s with, {overhead[1]:.3f} s without", flush=True)
    if not arguments.only:
        table.write(columns, overhead)
    return int(any(outcome != "yes" for outcomes in columns.values() for outcome in outcomes.values()))


def _given(pythons: list[str]) -> Iterator[tuple[int, str]]:
    for one in pythons:
        version, _, path = one.partition("=")
        yield int(version.rpartition(".")[2]), path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="environments whose name has this in it; the page stays as it is")
    parser.add_argument(
        "--python", action="append", default=[], metavar="3.N=PATH", help="a Python that has today's Dask already"
    )
    sys.exit(main(parser.parse_args()))
