"""JSON that every parser reads alike: UTF-8, no name twice in one object, no NaN. For answers that are evidence."""

import json
from typing import Any


def parse(data: bytes) -> dict[str, Any]:
    """Return the object in `data`. Raises ValueError for anything else."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_none)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  one error for all that is wrong with it
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _none(name: str) -> None:
    raise ValueError(name)
