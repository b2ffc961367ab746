"""What was given for each key, and by whom: the file, the environment, the command line. Values are read elsewhere."""

import os
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from credagent.config.channel_grammar import SEALED_VARIABLE
from credagent.config.default_folders import SOCKET_VARIABLE
from credagent.config.keys import KEYS, SECTIONS
from credagent.config.values import raw_of_text
from credagent.configuration_file import LIMIT_BYTES, default_path
from credagent.errors import ConfigurationError, CredagentError
from credagent.system.file_reading import read_trusted

PREFIX = "CREDAGENT_"
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
NOT_KEYS = frozenset({SEALED_VARIABLE, SOCKET_VARIABLE, "CREDAGENT_WORKER_WAIT", "CREDAGENT_WORKER_MISSING"})
VARIABLES: Mapping[str, str] = {PREFIX + key.replace(".", "_").upper(): key for key in KEYS}


class Given(Struct, frozen=True):
    """What was given for a key, as TOML has it; `place` is how an error names it."""

    raw: object
    origin: str
    place: str


def from_file(path: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Given]]:
    """Return the file and what it says; None is the default file, which may be missing ("" is returned then)."""
    default = default_path(environ, os.geteuid())
    if path is None and not os.path.lexists(default):
        return "", {}
    path = path or default
    given = {}
    for section, table in _document(path, read_trusted(path, LIMIT_BYTES)).items():
        if not isinstance(table, dict):
            near = [f"[{section}]"] if section in SECTIONS else [key for key in KEYS if key.endswith(f".{section}")]
            raise _unknown(f"{path}: {section}", "not a section", section, near or KEYS)
        if section not in SECTIONS:
            raise _unknown(f"{path}: [{section}]", "an unknown section", section, SECTIONS)
        for name, raw in table.items():
            key = f"{section}.{name}"
            if key not in KEYS:
                raise _unknown(f"{path}: {key}", "an unknown key", key, KEYS)
            given[key] = Given(raw, "file", f"{path}: {key}")
    return path, given


def what_can_be_read(path: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Given]]:
    """Return the file and what it says as far as that can be read. Raises nothing.

    Of a file with a typo the rest is read, and a name that is nearly one of ours is taken for it: whoever looks for
    the agent that runs beside the typo finds it. No agent is started with this.
    """
    path = path or default_path(environ, os.geteuid())
    try:
        text = read_trusted(path, LIMIT_BYTES).decode("utf-8", "replace")
    except CredagentError:
        return path, {}
    given = {}
    for section, table in _tables(text).items():
        for name, raw in table.items() if isinstance(table, dict) else ():
            if key := _meant(f"{section}.{name}", KEYS):
                given[key] = Given(raw, "file", f"{path}: {key}")
    return path, given


def _meant(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant, "" for none."""
    from difflib import get_close_matches  # noqa: PLC0415  only for those who mistyped

    return next(iter(get_close_matches(name, known, 1, cutoff=0.8)), "")


def _tables(text: str) -> dict[str, object]:
    """Return a TOML document; of one that is none, the lines that are TOML each by itself."""
    import tomllib  # noqa: PLC0415  10 ms that a machine without a file does not pay

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        tables: dict[str, dict[str, object]] = {}
    section = ""
    for line in text.splitlines():
        try:
            read = tomllib.loads(line)
        except (ValueError, RecursionError):
            continue
        if line.lstrip().startswith("["):
            section = next(iter(read), "")
        else:
            tables.setdefault(section, {}).update(read)
    return {**tables}


def from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """Return what the environment says, unknown variables left aside."""
    names = (name for name in environ if name in VARIABLES)
    return {VARIABLES[name]: _from_text(VARIABLES[name], environ[name], "environment", name) for name in names}


def from_flags(flags: Mapping[str, str]) -> dict[str, Given]:
    """Return what the command line says: `section.key` and its text."""
    return {key: _from_text(key, text, "flag", "command line") for key, text in flags.items()}


def service_links(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that Kubernetes puts into a pod for a Service whose name begins with `credagent`, sorted.

    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables. Whoever named the Service
    did not mean to configure an agent, and the pod could not start for it.
    """
    return tuple(sorted(name for name in environ if name not in VARIABLES and _SERVICE_LINK.fullmatch(name)))


def refuse_unknown_variables(environ: Mapping[str, str], channels: Iterable[str]) -> None:
    """Raise ConfigurationError for a CREDAGENT_ variable that is neither a key, nor one of ours, nor in `channels`.

    A service link is none of these and is left aside.
    """
    known = {*VARIABLES, *NOT_KEYS, *channels}
    for name in environ.keys() - set(service_links(environ)):
        if name.startswith(PREFIX) and name not in known:
            raise _unknown(name, "an unknown variable", name, known)


def _document(path: str, content: bytes) -> dict[str, object]:
    import tomllib  # noqa: PLC0415  10 ms that a machine without a file does not pay

    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "not a text that can be read"
        hint = "write TOML in UTF-8: [section], then lines of key = value, texts in quotes"
        raise ConfigurationError("not-toml", why, what=path, hint=hint) from error


def _from_text(key: str, text: str, origin: str, place: str) -> Given:
    place = f"{place} ({key})"
    try:
        return Given(raw_of_text(KEYS[key], text), origin, place)
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=place, hint=error.hint) from error


def _unknown(place: str, why: str, name: str, known: Iterable[str]) -> ConfigurationError:
    from difflib import get_close_matches  # noqa: PLC0415  only for those who mistyped

    near = get_close_matches(name, sorted(known), 1, cutoff=0.0)[0]
    return ConfigurationError("unknown-key", why, what=place, hint=f"did you mean {near}?")
