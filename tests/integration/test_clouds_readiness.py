"""When a helper gets its request: not before the kernel keeps other processes of its user from looking into it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from credagent.errors import Unavailable
from tests.integration.test_clouds_process import UNASKED, Ask, both, interpreter, pytestmark

__all__ = ["interpreter", "pytestmark"]


@both
def test_a_helper_that_may_still_be_looked_into_is_told_nothing(
    interpreter: Callable[[str], None], ask: Ask, tmp_path: Path
) -> None:
    """Its user's other processes could open its stdin in /proc and take the request."""
    early, late = tmp_path / "early", tmp_path / "late"
    interpreter(f"timeout 0.5 head -c 9 > {early}; echo; head -c 9 > {late}")
    with pytest.raises(Unavailable):
        ask(UNASKED, deadline_s=5, environ={"PATH": os.environ["PATH"]})
    assert (early.read_text(), late.read_text()) == ("", '{"request')
