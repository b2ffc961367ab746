"""The whole run of `make test`: pytest with everything it says kept, then the search for the canary in all of it.

Arguments go to pytest. The exit status is pytest's, or 1 where the canary was found.
"""

import subprocess
import sys

from tests.canary import LOGS, leaks


def main(arguments: list[str]) -> int:
    """Run, keep, search; pytest's own closing line is printed last, where people and programs look for it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pytest", "--color=no", *arguments]
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
    found = leaks(LOGS)
    sys.stdout.write("".join(f"canary: {line}\n" for line in found))
    sys.stdout.write(f"canary: {len(found)} leaks in {sum(1 for _ in LOGS.iterdir())} logs\n{closing}")
    return run.returncode or (1 if found else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
