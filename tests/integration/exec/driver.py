"""Runs a program under the watch of `exec`, without an agent: `driver.py ON_RENEWAL FIFO -- CMD …`.

A byte in FIFO stands for a renewal: the program's environment gets another value of RENEWED. GRACE_S in the environment
is the grace of a restart.
"""

import os
import sys
from collections.abc import Mapping

from credagent.errors import CredagentError
from credagent.exec.child_process import Launch
from credagent.exec.renewal_action import parse_on_renewal
from credagent.exec.supervisor import Supervisor
from credagent.system import process_control


class RenewalsByFifo:
    def __init__(self, path: str) -> None:
        self._reader = os.open(path, os.O_RDWR)
        self._count = 0

    def fileno(self) -> int:
        return self._reader

    def read(self) -> Mapping[str, str] | None:
        self._count += len(os.read(self._reader, 64))
        return {**os.environ, "RENEWED": str(self._count)}

    def revive(self) -> float | None:
        return None


def main(on_renewal: str, fifo: str, command: list[str]) -> int:
    process_control.adopt_orphans()
    launch = Launch(command=tuple(command), environment=dict(os.environ))
    chosen = parse_on_renewal(on_renewal, grace_s=float(os.environ.get("GRACE_S", "0.5")), spread_s=0.1)
    try:
        return Supervisor(launch, on_renewal=chosen, renewals=RenewalsByFifo(fifo), companion=None).run()
    except CredagentError as error:
        sys.stderr.write(f"credagent: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[4:]))
