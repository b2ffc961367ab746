"""`credagent worker-path`: where the worker's side lies, for PYTHONPATH."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "print the folder that holds credagent_worker.py and nothing else"
PLAIN = True
EPILOG = """\
Example:
  PYTHONPATH="$PYTHONPATH:$(credagent worker-path)" dask worker ADDRESS --preload credagent_worker
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001  every command is called alike
    """Print it."""
    from credagent.exec.dask_preload import worker_path

    print(worker_path())
    return 0
