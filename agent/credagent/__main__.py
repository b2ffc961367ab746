"""The command's entry point. It puts right what the process was started with, before anything else is imported."""

import gc
import os
import sys


def main() -> int:
    """Run the command and return its exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036  pip does not install it there, but a path can lead there
        version = ".".join(map(str, sys.version_info[:2]))
        sys.stderr.write(f"credagent: needs Python 3.11 or later; this one is {version}\n")
        sys.stderr.write("hint: python3.11 -m venv VENV, or the packages, which bring a Python of their own\n")
        return 69
    gc.disable()  # what is imported stays, and looking through it takes time; what runs for long enables it
    _open_closed_streams()
    _leave_foreign_packages(os.environ.get("PYTHONPATH", ""))
    from credagent.cli.main import main as run  # noqa: PLC0415  from the path as it is now

    return _left(run())


def _left(status: int) -> int:
    """End at once where the interpreter's own end would find nothing to do but to take it apart; else return `status`.

    Without `atexit` in the process nobody has asked for a last call, and nobody has threads.
    """
    if "atexit" in sys.modules:
        return status
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return status
    os._exit(status)


def _open_closed_streams() -> None:
    """Open what was closed (cron wrappers, `2>&-`): the next file that is opened would become standard error."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the kernel gives the lowest free number
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  as long as standard output


def _leave_foreign_packages(pythonpath: str) -> None:
    """Take what PYTHONPATH names off the import path: packages for the programs of the user, perhaps of another Python.

    Programs that are started still get the variable. It stays where this package itself comes from there.
    """
    if sys.flags.isolated or not pythonpath:
        return  # the interpreter has not read it
    import site  # noqa: PLC0415  milliseconds, where the interpreter has not loaded it anyway

    here, own = os.path.dirname(os.path.dirname(os.path.abspath(__file__))), site.getsitepackages()
    named = {os.path.abspath(folder) for folder in pythonpath.split(os.pathsep) if folder}
    if here in own or here not in named:
        sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) not in named.difference(own)]


if __name__ == "__main__":
    sys.exit(main())
