"""Durations as people write them: INT(s|m|h|d), as `90s` and `24h`, in configurations, variables and command lines."""

import re

from credagent.errors import ConfigurationError

LONGEST_S = 3_650 * 86_400  # ten years: more is a slip of the pen, and dates overflow beyond
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_s(text: str) -> int:
    """Return the seconds in a duration, written INT(s|m|h|d). Raises ConfigurationError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text, re.ASCII)
    seconds = int(found[1]) * _UNITS[found[2]] if found else -1
    if not 0 <= seconds <= LONGEST_S:
        hint = 'write a whole number and its unit, s, m, h or d: "90s", "24h", "30d"'
        raise ConfigurationError("wrong-value", "not a duration", hint=hint)
    return seconds


def duration_text(seconds: int) -> str:
    """Write seconds as a duration, in the largest unit that keeps it whole."""
    unit = next((unit for unit in "dhms" if seconds % _UNITS[unit] == 0 and seconds >= _UNITS[unit]), "s")
    return f"{seconds // _UNITS[unit]}{unit}"
