"""What is read without argparse is what argparse would have read; everything else is argparse's."""

import importlib
import shlex

import pytest

from credagent.cli import command_table
from credagent.cli.command_parser import CommandParser
from credagent.cli.plain_arguments import PlainParser

PLAIN = {
    "run": ("", "--config F", "--once --config F", "--config A --config B"),
    "status": ("", "aws", "--json", "--watch --config F google"),
    "env": ("", "--format json", "--format shell --reveal", "--reveal --config F"),
    "credential-process": ("", "--config F"),
    "renew": ("", "aws", "--config F google", "environment --config F"),
    "worker-path": ("",),
    "exec": ("-- a", "--config F --user U -- a -- --b", "--on-renewal restart -- a --config G", "", "--"),
}
LEFT_TO_ARGPARSE = {
    "run": ("--config=F", "--config", "--config -- ", "--conf F", "more", "--help", "--debug"),
    "env": ("--format xml", "--format=json", "-h"),
    "renew": ("azure", "aws google"),
    "exec": ("a", "--grace 5s -- a", "--grace x -- a", "a -- b"),
}


def parsers(name: str) -> tuple[PlainParser, CommandParser]:
    module = importlib.import_module(f"credagent.cli.commands.{command_table.COMMANDS[name].module}")
    plain, whole = PlainParser(), CommandParser(prog=name, allow_abbrev=False)
    module.add_arguments(plain)
    module.add_arguments(whole)
    return plain, whole


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in PLAIN.items() for line in lines])
def test_what_is_read_is_what_argparse_reads(name: str, line: str) -> None:
    plain, whole = parsers(name)
    found = plain.parse(shlex.split(line))
    assert found is not None
    assert vars(found) == vars(whole.parse(shlex.split(line)))


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in LEFT_TO_ARGPARSE.items() for line in lines])
def test_the_rest_is_left_to_argparse(name: str, line: str) -> None:
    assert parsers(name)[0].parse(shlex.split(line)) is None


def test_the_commands_that_are_read_so_are_those_that_say_so() -> None:
    def says(name: str) -> bool:
        module = importlib.import_module(f"credagent.cli.commands.{command_table.COMMANDS[name].module}")
        return getattr(module, "PLAIN", False)

    assert {name for name in command_table.COMMANDS if says(name)} == set(PLAIN)
