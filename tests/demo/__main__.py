"""`python -m tests.demo`: plays the main job in under two minutes; exit 0 only if all of it was observed."""

import sys
import tempfile
from pathlib import Path

from tests.demo.account import Account, Observed
from tests.demo.play import play
from tests.demo.stage import Stage


def main() -> int:
    """Play, and say how it ended."""
    account = Account()
    print("credagent, the main job: private data read on a real Dask cluster with a forwarded identity.")
    with tempfile.TemporaryDirectory(prefix="credagent-demo-") as folder, Stage(Path(folder)) as stage:
        try:
            play(stage, account)
        except Observed as missing:
            print(f"\nNOT OBSERVED: {missing}\n", file=sys.stderr)
            for name in ("agent", "worker-1", "worker-2", "scheduler", "cloud"):
                print(f"--- the end of {name}.log\n{stage.log(name)[-3000:]}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return 130
    print(f"\nAll of it was observed, in {account.seconds:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
