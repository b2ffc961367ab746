"""The secret that every test uses, and the search that shows that no log of a whole run holds it.

`python -m tests.canary FOLDER…` exits 1 and names the places where it was found, however a log may have spelt it.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CANARY = "kanarienvogel/7fD3q+Zx9LmT2vW8yBn4RcQ1"  # 40 characters of AWS's alphabet, so that it passes for a secret key

LOGS = Path(os.environ.get("CREDAGENT_TEST_LOGS") or Path(__file__).parent.parent / "build" / "test-logs")

DEBUG_LOG: Mapping[str, str] = {"CREDAGENT_LOG_LEVEL": "debug", "CREDAGENT_LOG_FORMAT": "json"}
"""What a daemon under test gets in its environment, so that the search sees all it would ever say."""


def log_file(name: str) -> Path:
    """Return a new path in the folder that is searched; `name` says whose output it is."""
    LOGS.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[-120:]
    taken = sum(1 for _ in LOGS.glob(f"{plain}-{os.getpid()}-*"))
    return LOGS / f"{plain}-{os.getpid()}-{taken}.log"


def spellings(secret: str) -> Iterator[bytes]:
    """Yield `secret` as logs might show it: plain, hexadecimal, URL-encoded, base64 at each of its three alignments."""
    raw = secret.encode()
    yield raw
    yield raw[: len(raw) * 2 // 3]
    yield raw[len(raw) // 3 :]
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield raw.replace(b"/", b"%2F").replace(b"+", b"%2B")
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        middle = encoded[4 if shift else 0 : -4]  # the outer characters depend on what surrounds the secret
        yield middle
        yield middle.replace(b"+", b"-").replace(b"/", b"_")


def leaks(folder: Path, secret: str = CANARY) -> list[str]:
    """Return `FILE: SPELLING` for each file below `folder` that holds `secret`."""
    wanted = sorted(set(spellings(secret)))
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{path}: {spelling[:6].decode()}…" for spelling in wanted if spelling in content]
    return found


def main(folders: list[str]) -> int:
    """Search `folders`; an empty or missing one fails too, because then nothing was searched."""
    searched = [Path(folder) for folder in folders]
    empty = [folder for folder in searched if not any(folder.rglob("*"))]
    found = [line for folder in searched for line in leaks(folder)]
    for line in [f"{folder}: no logs to search" for folder in empty] + found:
        sys.stderr.write(f"canary: {line}\n")
    sys.stdout.write(f"canary: {len(found)} leaks in {sum(1 for folder in searched for _ in folder.rglob('*'))} logs\n")
    return 1 if empty or found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
