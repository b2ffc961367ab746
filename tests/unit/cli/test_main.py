"""The entry point: every failure is one line, a hint and the documented exit code, and never a foreign text."""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from credagent import __version__
from credagent.cli import command_table, main
from credagent.cli.command_parser import CommandParser
from credagent.errors import (
    ConfigurationError,
    CredagentError,
    Exit,
    OutputError,
    PermissionRefused,
    Refused,
    Unavailable,
)
from tests.patience import scaled

CANARY = "canary-in-an-exception"
Ends = Callable[..., SimpleNamespace]


class Standing:
    """A command that does what a test wants."""

    SUMMARY = "stand in for a command"

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--level", choices=("low", "high"))
        parser.add_argument("word", nargs="?")

    def run(self, arguments: argparse.Namespace) -> int:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert isinstance(self.outcome, int)
        return self.outcome


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ends:
    def run(outcome: object, *words: str) -> SimpleNamespace:
        monkeypatch.setattr(main, "_module", lambda _: Standing(outcome))
        code = main.main([*words] or ["status"])
        shown = capsys.readouterr()
        return SimpleNamespace(code=code, out=shown.out, err=shown.err)

    return run


@pytest.mark.parametrize("name", command_table.COMMANDS)
def test_every_command_of_the_table_has_its_module(name: str) -> None:
    entry = command_table.COMMANDS[name]
    module = importlib.import_module(f"credagent.cli.commands.{entry.module}")
    assert module.SUMMARY
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.parametrize("name", command_table.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([name, "--help"]) == 0
    assert f"usage: credagent {name}" in capsys.readouterr().out


def test_a_hint_of_several_lines_is_set_in(ends: Ends) -> None:
    shown = ends(
        Unavailable("x", "nothing vouches", what="forward", hint="choose one:\ntls://\ncredagent: \x1b[2Jforged")
    )
    assert shown.err.splitlines() == [
        "credagent: forward: nothing vouches",
        "hint: choose one:",
        "      tls://",
        "      credagent: ?[2Jforged",
    ]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_alone_it_teaches(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    for name in command_table.COMMANDS:
        assert f"\n  {name} " in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"credagent {__version__}\n"


@pytest.mark.parametrize(
    ("word", "hint"), [("stauts", "did you mean status?"), ("xyzzy", "credagent --help"), ("--verson", "credagent")]
)
def test_an_unknown_command_names_the_nearest(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([word]) == Exit.USAGE
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"credagent: {word}: no such command"
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["status", "--levle", "low"], "no option --levle"),
        (["status", "--leve=x"], "no option --leve"),
        (["status", "a", CANARY], "an argument too many"),
        (["status", "a", CANARY, CANARY], "2 arguments too many"),
        (["status", "--level"], "expected one argument"),
        (["status", "--level", "middle"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_hint(words: list[str], why: str, ends: Ends) -> None:
    ended = ends(0, *words)
    first, second = ended.err.splitlines()
    assert ended.code == Exit.USAGE
    assert first.startswith("credagent: credagent status: ")
    assert why in first
    assert second.endswith("see `credagent status --help`")
    assert CANARY not in ended.err


@pytest.mark.parametrize(
    "error",
    [
        Refused("x", "why", what="what", hint="do"),
        Unavailable("x", "why", what="what", hint="do"),
        OutputError("x", "why", what="what", hint="do"),
        PermissionRefused("x", "why", what="what", hint="do"),
        ConfigurationError("x", "why", what="what", hint="do"),
    ],
)
def test_an_error_of_ours_is_shown_as_it_is(error: CredagentError, ends: Ends) -> None:
    ended = ends(error)
    assert (ended.code, ended.out, ended.err) == (error.exit_code, "", "credagent: what: why\nhint: do\n")


def test_an_error_stays_one_line_whatever_is_in_it(ends: Ends) -> None:
    ended = ends(Refused("x", "a\nb\x1b[31m", hint=""))
    assert ended.err == "credagent: a?b?[31m\n"


def test_a_foreign_exception_shows_its_kind_and_place_and_not_its_text(ends: Ends) -> None:
    ended = ends(ValueError(CANARY))
    assert ended.code == Exit.INTERNAL
    assert ended.err.startswith("credagent: internal error: ValueError in credagent.cli.main, line ")
    assert "--debug" in ended.err
    assert CANARY not in ended.err


@pytest.mark.parametrize("words", [["--debug", "status"], ["status", "--debug"]])
def test_a_trace_only_with_debug(words: list[str], ends: Ends) -> None:
    ended = ends(Refused("x", "why"), *words)
    assert "Traceback" in ended.err
    assert "Traceback" not in ends(Refused("x", "why"), "status", "--", "--debug").err


def test_an_interrupt_is_reported_as_a_shell_does(ends: Ends) -> None:
    assert ends(KeyboardInterrupt()).code == 130


def test_the_code_of_the_command_is_returned(ends: Ends) -> None:
    assert ends(1).code == 1


def test_what_is_written_is_private_and_what_exec_starts_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Looking(Standing):
        def run(self, arguments: argparse.Namespace) -> int:
            before = os.umask(0o022)
            os.umask(before)
            seen.append(before)
            return 0

    monkeypatch.setattr(main, "_module", lambda _: Looking(0))
    before = os.umask(0o027)
    try:
        main.main(["keygen"])
        main.main(["exec", "x"])
        assert seen == [0o077, 0o027]
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def run(shell: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m credagent"
    script = shell.replace("credagent", command)
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=scaled(60), check=False)


def test_a_full_output_is_73() -> None:
    ended = run("credagent --help >/dev/full")
    assert ended.returncode == Exit.OUTPUT
    assert ended.stderr.startswith("credagent: standard output: no space left on device\nhint: ")


def test_an_output_that_nobody_reads_ends_quietly() -> None:
    ended = run("{ sleep 0.5; credagent --help; echo code $? >&2; } | true")
    assert ended.stderr == "code 141\n"


def test_a_closed_output_is_no_defect() -> None:
    assert run("credagent --version >&-").returncode == 0


def test_options_are_not_guessed_from_their_beginnings() -> None:
    parser = CommandParser(prog="credagent x", allow_abbrev=False)
    parser.add_argument("--reveal", action="store_true")
    with pytest.raises(CredagentError) as caught:
        parser.parse(["--rev"])
    assert "did you mean --reveal?" in caught.value.hint
