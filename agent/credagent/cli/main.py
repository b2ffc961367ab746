"""The entry point: finds the command, runs it, and turns whatever it raises into one line, a hint and an exit code.

What this imports every command waits for, those included that only ask the running agent: no typing, no argparse.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from types import TracebackType

from credagent.cli.command_table import COMMANDS, overview
from credagent.cli.terminal_text import printable
from credagent.errors import CredagentError, Exit, InternalError, UsageError
from credagent.system.file_errors import output_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol, TextIO

    class CommandModule(Protocol):
        """What a module below `credagent.cli` offers to be a command.

        `EPILOG` may follow the help; with `PLAIN` its usual command lines are read without argparse.
        """

        SUMMARY: str
        add_arguments: Callable[[Any], None]
        run: Callable[[Any], int]


INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
PIPE_CLOSED = 141  # 128 + SIGPIPE
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors go to stderr, without any text that is not our own."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in (words[: words.index("--")] if "--" in words else words)
    while words[:1] == ["--debug"]:
        words.pop(0)
    umask = os.umask(0o077)
    if words[:1] == ["exec"]:
        os.umask(umask)  # what it starts is not ours, and has the umask of whoever started us
    try:
        code = _run(words)
        _flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except CredagentError as error:
        return _report(error, debug=debug)
    except OSError as error:
        return _outside(error, debug=debug)
    except Exception as error:  # noqa: BLE001  the last stop: a foreign exception's text may hold a secret
        return _report(_unexpected(error), debug=debug)
    finally:
        os.umask(umask)
    return code


def _run(words: list[str]) -> int:
    match words:
        case [] | ["-h" | "--help" | "help"]:
            print(overview(), end="")
        case ["-V" | "--version"]:
            from credagent import __version__

            print(f"credagent {__version__}")
        case ["help", name, *_]:
            return _command(name, ["--help"])
        case [name, *rest]:
            return _command(name, rest)
    return Exit.DONE


def _command(name: str, words: list[str]) -> int:
    module = _module(name)
    if getattr(module, "PLAIN", False):
        from credagent.cli.plain_arguments import PlainParser

        plain = PlainParser()
        module.add_arguments(plain)
        if (usual := plain.parse(words)) is not None:
            return int(module.run(usual))
    gc.enable()
    from credagent.cli.command_parser import CommandParser, HelpFormatter

    parser = CommandParser(
        prog=f"credagent {name}",
        description=f"{module.SUMMARY[:1].upper()}{module.SUMMARY[1:]}.",
        epilog=getattr(module, "EPILOG", None),
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show a trace with an error")
    try:
        arguments = parser.parse(words)
    except SystemExit as ended:  # after --help
        return int(ended.code or 0)
    return int(module.run(arguments))


def _module(name: str) -> CommandModule:
    command = COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "see `credagent --help`"
        raise UsageError("unknown-command", "no such command", what=printable(name), hint=hint)
    found: Any = importlib.import_module(f"credagent.cli.commands.{command.module}")
    return found  # type: ignore[no-any-return]  # a module, by its protocol


def _report(error: CredagentError, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    from credagent.log import priority_prefix

    priority = priority_prefix("error")
    print(f"{priority}credagent: {printable(str(error))}", file=sys.stderr)
    if error.hint:
        # A hint may be a list. What follows its first line is set in, so that no name in it passes for a line of ours.
        for number, line in enumerate(error.hint.split("\n")):
            print(f"{priority}{'      ' if number else 'hint: '}{printable(line)}", file=sys.stderr)
    return error.exit_code


def _outside(error: OSError, *, debug: bool) -> int:
    """Tell an output that nobody reads or that is full from a defect of ours: files and sockets have errors of ours."""
    if isinstance(error, BrokenPipeError):
        _drop(sys.stdout)
        return PIPE_CLOSED
    if error.errno in _FULL and error.filename is None:
        _drop(sys.stdout)
        return _report(output_error("standard output", error), debug=debug)
    return _report(_unexpected(error), debug=debug)


def _unexpected(error: Exception) -> InternalError:
    """Say what happened and where, not what the exception says."""
    trace, where = error.__traceback__, ""
    while isinstance(trace, TracebackType):
        if (module := trace.tb_frame.f_globals.get("__name__", "")).startswith("credagent"):
            where = f" in {module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    hint = "this is a defect: run it with --debug for a trace, and report that"
    found = InternalError("internal", f"{type(error).__name__}{where}", what="internal error", hint=hint)
    found.__cause__ = error
    return found


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)  # who reads no log learns how it ended all the same: by the exit status


def _drop(stream: TextIO) -> None:
    """Let the interpreter's own flush at exit go nowhere, instead of failing once more with a trace."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
