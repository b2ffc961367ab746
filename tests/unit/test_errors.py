"""An error carries its remedy wherever Python shows it."""

import traceback

from credagent.errors import Unavailable, UsageError


def test_a_traceback_ends_with_what_to_do() -> None:
    shown = traceback.format_exception(UsageError("code", "is wrong", what="this", hint="do that"))
    assert shown[-1] == "hint: do that\n"


def test_an_error_without_a_hint_adds_nothing_to_a_traceback() -> None:
    assert not hasattr(UsageError("code", "is wrong"), "__notes__")


def test_the_text_of_an_error_stays_one_line_without_the_hint() -> None:
    assert str(Unavailable("code", "is away", what="this", hint="wait")) == "this: is away"
