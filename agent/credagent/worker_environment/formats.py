"""A worker's environment as text: for people, for shells, and for what reads an env file. Pure; nothing is written."""

from collections.abc import Mapping
from shlex import quote

from credagent.secret import Secret

Environment = Mapping[str, Secret]

ENV_FILE_VALUE_BYTES = 60_000  # docker reads lines of at most 64 KiB


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


def env_file(environment: Environment) -> tuple[bytes, tuple[str, ...]]:
    """Return worker.env, and the names of those that such a file cannot carry and that were left out."""
    kept = {name: value for name, value in environment.items() if survives_env_file(value)}
    text = "".join(f"{name}={value.reveal()}\n" for name, value in kept.items())
    return text.encode(), tuple(name for name in environment if name not in kept)


def survives_env_file(value: Secret) -> bool:
    """Say whether systemd's `EnvironmentFile=` and `docker --env-file` both give `value` back byte for byte.

    systemd reads a backslash as an escape, a quote at the start as quoting, and cuts white space at both ends; docker
    takes the line as it is. Both end it at a line break; neither takes other control characters or broken UTF-8.
    """
    text = value.reveal()
    if text[:1] in {"'", '"'} or "\\" in text or text != text.strip() or not text.isprintable():
        return False
    return len(text.encode()) <= ENV_FILE_VALUE_BYTES


def _dotenv_value(text: str) -> str:
    if text and all(character.isalnum() or character in "_-+=/.:,@%" for character in text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
