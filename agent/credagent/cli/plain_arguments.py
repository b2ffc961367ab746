"""Reads the usual command lines of commands that are run often, without loading argparse for them.

What such a command takes is said once, to argparse and to this; whatever is not plain here is argparse's to judge.
"""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class PlainParser:
    """Takes `add_argument` as argparse does: switches, options with a text or a choice, one word, and `-- CMD`."""

    def __init__(self) -> None:
        """Know no argument."""
        self._options: dict[str, dict[str, Any]] = {}
        self._word: tuple[str, dict[str, Any]] | None = None
        self._after_dashes = ""
        self._defaults: dict[str, Any] = {}

    def add_argument(self, name: str, **settings: Any) -> None:  # noqa: ANN401  as argparse's
        """Take one argument."""
        key = name.lstrip("-").replace("-", "_")
        switch = settings.get("action") == "store_true"
        self._defaults[key] = settings.get("default", False if switch else None)
        if name.startswith("-"):
            self._options[name] = {**settings, "key": key}
        elif settings.get("nargs") == "*":
            self._after_dashes, self._defaults[key] = key, []
        else:
            self._word = key, settings

    def parse(self, words: Sequence[str]) -> SimpleNamespace | None:
        """Return what argparse would; None where it has to look, at what is wrong or only written in another way."""
        values, left = dict(self._defaults), list(words)
        while left:
            word = left.pop(0)
            option = self._options.get(word)
            if word == "--" and self._after_dashes:
                values[self._after_dashes] = left
                break
            if option is not None and option.get("action") == "store_true":
                values[option["key"]] = True
            elif option is not None and left and _is_plain(left[0], option):
                values[option["key"]] = left.pop(0)
            elif self._word is not None and values[self._word[0]] is None and _is_plain(word, self._word[1]):
                values[self._word[0]] = word
            else:
                return None
        return SimpleNamespace(**values)


def _is_plain(value: str, settings: dict[str, Any]) -> bool:
    return not value.startswith("-") and "type" not in settings and value in settings.get("choices", (value,))
