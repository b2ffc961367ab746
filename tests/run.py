"""The whole run of `make test`: pytest with everything it says kept, then the search for the canary in all of it.

With `--every-python`, unit, scenario and property tests run beside it under each further Python of the machine, two at
a time, in what the run leaves free: half of what it does is wait, and both processors are free once it has ended.
Other arguments go to pytest. The exit status is pytest's, or 1 where another Python failed or the canary was found.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.canary import LOGS, leaks
from tests.interpreters import others, run_under

EVERY_PYTHON = "--every-python"


def main(arguments: list[str]) -> int:
    """Run, keep, search; pytest's own closing line is printed last, where people and programs look for it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    every = EVERY_PYTHON in arguments
    arguments = [argument for argument in arguments if argument != EVERY_PYTHON]
    beside = ThreadPoolExecutor(2)
    try:
        passed = [beside.submit(_passed, version, python) for version, python in others()] if every else []
        status, closing = _run([sys.executable, "-m", "pytest", "--color=no", *arguments])
        failed = [one for one in passed if not one.result()]
    finally:
        beside.shutdown(cancel_futures=True)  # a run that was interrupted begins with no other Python
    found = leaks(LOGS)
    sys.stdout.write("".join(f"canary: {line}\n" for line in found))
    sys.stdout.write(f"canary: {len(found)} leaks in {sum(1 for _ in LOGS.iterdir())} logs\n{closing}")
    return status or (1 if found or failed else 0)


def _run(command: list[str]) -> tuple[int, str]:
    """Run, keep and print what it says; return its exit status, and its closing line, which is not printed yet."""
    closing = ""
    with (
        (LOGS / "pytest.log").open("wb") as kept,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run,
    ):
        for line in run.stdout or ():
            kept.write(line)
            if closing:
                sys.stdout.write(closing)
            closing = line.decode(errors="replace")
            sys.stdout.flush()
    return run.returncode, closing


def _passed(version: str, python: str) -> bool:
    """Run the tests under another Python, and print its closing line, or all it said where something failed."""
    status, said = run_under(version, python)
    (LOGS / f"python-{version}.log").write_text(said, encoding="utf-8")
    closing = (said.strip() or "it said nothing").splitlines()[-1]
    sys.stdout.write(f"\n{said if status else ''}Python {version}: {closing}\n")
    sys.stdout.flush()
    return status == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
