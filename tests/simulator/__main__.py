"""`python -m simulator`: the loopback cloud as a process, until SIGTERM, SIGINT, or the end of its standard input.

When it is ready it prints one JSON line: `{"addresses": {…}, "environ": {…}, "pid": 1}`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from .simulation import Address, Simulator


def main() -> None:
    options = _options()
    listen = dict(_face(text) for text in options.listen)
    if options.port:
        listen.setdefault("admin", (options.bind, options.port))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if options.until_eof:
        threading.Thread(target=_wait_for_eof, args=(ended,), daemon=True).start()
    with Simulator(bind=options.bind, listen=listen) as sim:
        ready = json.dumps({"addresses": sim.addresses(), "environ": sim.environ(), "pid": os.getpid()})
        if options.state_file:
            _write(Path(options.state_file), ready)
        print(ready, flush=True)
        ended.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--state-file", help="write the ready line here too, once all faces listen")
    parser.add_argument("--bind", default="127.0.0.1", help="address of all faces that --listen does not name")
    parser.add_argument("--port", type=int, default=0, help="port of the admin face; the others take free ones")
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="FACE=ADDRESS:PORT",
        help="where one face listens, such as imds=169.254.169.254:80 (in a network namespace)",
    )
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    return parser.parse_args()


def _wait_for_eof(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _face(text: str) -> tuple[str, Address]:
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    return name, (host.strip("[]"), int(port))


def _write(path: Path, text: str) -> None:
    """Renamed into place: whoever sees the file sees all of it."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text + "\n")
    unfinished.rename(path)


if __name__ == "__main__":
    main()
