"""A worker's environment as text, for people and for shells. Pure; nothing is written."""

from collections.abc import Mapping
from shlex import quote

from credagent.secret import Secret

Environment = Mapping[str, Secret]


def dotenv(environment: Environment) -> str:
    """Return `NAME=value` lines; a value that needs quotes is in single ones, as python-dotenv reads them."""
    return "".join(f"{name}={_dotenv_value(value.reveal())}\n" for name, value in environment.items())


def shell(environment: Environment) -> str:
    """Return `export` lines for a POSIX shell."""
    return "".join(f"export {name}={quote(value.reveal())}\n" for name, value in environment.items())


def as_json(environment: Environment) -> str:
    """Return one JSON object, name to value."""
    import json  # noqa: PLC0415  the daemon starts without it

    return json.dumps({name: value.reveal() for name, value in environment.items()}, indent=2) + "\n"


def _dotenv_value(text: str) -> str:
    if text and all(character.isalnum() or character in "_-+=/.:,@%" for character in text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
