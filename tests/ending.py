"""Ends what a test has started, with everything below it."""

import contextlib
import subprocess
from typing import Any

import psutil


def kill_tree(process: "subprocess.Popen[Any]") -> None:
    """Kill a process that still runs, and all that it has started; what ends by itself meanwhile has ended."""
    if process.poll() is not None:
        return
    root = psutil.Process(process.pid)
    for one in [*root.children(recursive=True), root]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
