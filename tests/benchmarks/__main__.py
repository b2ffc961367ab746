"""`python -m tests.benchmarks [--python P | --tree DIR] [NAME …]`: measures, prints one table, writes build/bench.json.

P is an interpreter in which credagent is installed without what only development needs: some of what development
installs is imported by whoever finds it. DIR is what `packaging/tree` has made: the interpreter that ships. It ends
after MOST_S at the latest, and when it is interrupted, with what it has; what it has started ends with it.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tests.benchmarks import bundles, endpoint, forwarding, idle, many_workers, node, renewals, startup
from tests.benchmarks.figures import Figure, Unmeasured, progress, show, write

USUAL_MIN, MOST_S = 5, 600
FILE = Path(__file__).parents[2] / "build" / "bench.json"
Topic = Callable[[node.Installed], Iterator[Figure]]
TOPICS: Mapping[str, Topic] = {
    "startup": startup.figures,
    "endpoint": endpoint.figures,
    "many_workers": many_workers.figures,
    "idle": idle.figures,
    "bundles": bundles.figures,
    "renewals": renewals.figures,
    "forwarding": forwarding.figures,
}
PROGRAMS = ("wrk", *endpoint.PEERS, "age")
"""What the figures stand beside, or are taken with, where it is on PATH."""


def main() -> int:
    """Measure; return 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure with")
    parser.add_argument("--tree", help="what packaging/tree has made, to measure instead")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TOPICS)}; all by default")
    options = parser.parse_args()
    unknown = set(options.names) - set(TOPICS)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    installed = node.in_tree(Path(options.tree)) if options.tree else node.in_environment(options.python)
    return _measure(installed, {name: TOPICS[name] for name in options.names or TOPICS})


def _measure(installed: node.Installed, topics: Mapping[str, Topic]) -> int:
    began, load = datetime.now(UTC), os.getloadavg()
    figures, unmeasured, left = dict[str, list[Figure]](), list[Unmeasured](), dict(topics)
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    progress(f"all of it takes about {USUAL_MIN} minutes, {MOST_S // 60} at most; Ctrl-C shows what there is by then")
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGALRM, _time_is_over)
    signal.alarm(MOST_S)
    try:
        for name, measure in topics.items():
            progress(name)
            try:
                for figure in measure(installed):
                    figures.setdefault(name, []).append(figure)
            except (OSError, RuntimeError, ValueError, SystemExit) as error:
                unmeasured.append(Unmeasured(name, str(error) or type(error).__name__))
            del left[name]
    except KeyboardInterrupt as interruption:
        unmeasured += [Unmeasured(name, str(interruption) or "interrupted") for name in left]
    signal.alarm(0)
    show(figures, unmeasured, absent)
    write(FILE, figures, unmeasured=unmeasured, absent=absent, began=began, load=load)
    progress(f"written to {FILE}")
    return 1 if unmeasured else 0


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("ended by SIGTERM")


def _time_is_over(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"{MOST_S} s were over")


if __name__ == "__main__":
    sys.exit(main())
