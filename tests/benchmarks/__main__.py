"""`python -m tests.benchmarks [--python P] [NAME …]`: runs each `bench_NAME` module in a process of its own.

P is an interpreter in which credagent is installed without what only development needs; cold starts are measured
with it (BENCH_PYTHON), since some of what development installs is imported by whoever finds it.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the measurements and return whether all of them ended well."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure cold starts with")
    parser.add_argument("names", nargs="*", help="such as `start`; all by default")
    options = parser.parse_args()
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    chosen = [name for name in found if not options.names or name.removeprefix("bench_") in options.names]
    environ = {**os.environ, "BENCH_PYTHON": os.path.abspath(options.python)}
    failed = []
    for name in chosen:
        print(f"\n== {name.removeprefix('bench_')}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], env=environ, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
