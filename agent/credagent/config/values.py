"""How a text of the configuration becomes a value. Which key has which kind is in `keys`.

A value may be secret by mistake (a token pasted into the wrong line), so no error here shows one: it names the type,
what is accepted, and a hint.
"""

import os
import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from credagent.config.channel_grammar import Channel, DaskTargetSpec, SocketChannelSpec, parse_channel
from credagent.config.sections import Address
from credagent.duration import duration_s
from credagent.errors import ConfigurationError

LONGEST_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less its final zero
LAST_PORT = 65_535
LONGEST_AUDIENCE_BYTES = 255


class Folders(Struct, frozen=True):
    """What the placeholders stand for."""

    runtime_dir: str
    state_dir: str


Item = Callable[[str, Folders], object]


class ValueKind(Struct, frozen=True):
    """The TOML type of a key, and what makes a value of its text (of each of its texts, for a list).

    A list has `least` items or more. `suffix` is what the name in `sections` has more than the key: a unit.
    """

    shape: Literal["text", "boolean", "list"]
    item: Item
    least: int = 0
    suffix: str = ""


def read(kind: ValueKind, raw: object, folders: Folders) -> object:
    """Return the value of a key from what TOML has for it. Raises ConfigurationError, without the name of the key."""
    match kind.shape:
        case "boolean":
            if isinstance(raw, bool):
                return raw
            raise _wrong_type(raw, "true or false")
        case "text":
            if isinstance(raw, str):
                return kind.item(raw, folders)
            raise _wrong_type(raw, 'a duration in quotes: "90s"' if kind.suffix else 'a text in quotes, "…"')
        case "list":
            if isinstance(raw, list):
                return _items(kind, raw, folders)
            raise _wrong_type(raw, 'a list of texts, ["…", "…"]')


def raw_of_text(kind: ValueKind, text: str) -> object:
    """Return what TOML would have for a text from the environment or the command line."""
    match kind.shape:
        case "text":
            return text
        case "list":
            return [item for part in text.split(",") if (item := part.strip())]
        case "boolean":
            if text not in ("true", "false"):
                raise _wrong("neither true nor false", "write true or false")
            return text == "true"


def expanded(text: str, folders: Folders) -> str:
    """Put the folders in place of {runtime_dir} and {state_dir}; any other placeholder is an error."""

    def folder(found: re.Match[str]) -> str:
        if found[1] not in Folders.__struct_fields__:
            raise _wrong("an unknown placeholder", "{runtime_dir} and {state_dir} are all there are")
        return str(getattr(folders, found[1]))

    return re.sub(r"\{([^{}]*)\}", folder, text)


def _items(kind: ValueKind, raw: list[object], folders: Folders) -> tuple[object, ...]:
    if len(raw) < kind.least:
        raise _wrong("an empty list", "name at least one, or leave the key out to have its default")
    values = []
    for position, item in enumerate(raw, 1):
        try:
            if not isinstance(item, str):
                raise _wrong_type(item, 'a text in quotes, "…"')
            values.append(kind.item(item, folders))
        except ConfigurationError as error:
            raise ConfigurationError(error.code, f"item {position} is {error.why}", hint=error.hint) from error
    return tuple(values)


def matching(pattern: str, why: str, hint: str) -> Item:
    """Make an item that accepts texts of one pattern, and returns them as they are."""

    def item(text: str, _folders: Folders) -> str:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise _wrong(why, hint)
        return text

    return item


def placed(pattern: str, why: str, hint: str) -> Item:
    """Make an item like `matching`, in whose texts placeholders stand for folders."""
    inner = matching(pattern, why, hint)
    return lambda text, folders: inner(expanded(text, folders), folders)


def choice(*names: str) -> ValueKind:
    """Make the kind of a key that knows a few texts only."""

    def item(text: str, _folders: Folders) -> str:
        if text in names:
            return text
        from difflib import get_close_matches  # noqa: PLC0415  only for those who mistyped

        near = get_close_matches(text, names, 1)
        accepted = " or ".join(f'"{name}"' for name in names)
        hint = f'did you mean "{near[0]}"? accepted: {accepted}' if near else f"write {accepted}"
        raise _wrong("not one of the accepted texts", hint)

    return ValueKind("text", item)


def duration(text: str, _folders: Folders) -> int:
    """Read a duration in seconds."""
    return duration_s(text)


def as_it_is(text: str, _folders: Folders) -> str:
    """Return the text unchanged."""
    return text


def audience(text: str, _folders: Folders) -> str:
    """Read an audience: any text that can stand in an envelope's header, and on a terminal."""
    short = len(text.encode("utf-8", "replace")) <= LONGEST_AUDIENCE_BYTES
    if not short or any(one < " " or "\x7f" <= one <= "\x9f" or "\ud800" <= one <= "\udfff" for one in text):
        raise _wrong("not a name", f"write at most {LONGEST_AUDIENCE_BYTES} bytes, without control characters")
    return text


def folder(text: str, _folders: Folders) -> str:
    """Read the path of a folder."""
    if re.fullmatch(r"/[^\x00-\x1f{}]*[^\x00-\x1f{}/]/*", text) is None:
        raise _wrong("not an absolute path below /", 'write it from the root on: "/run/credagent"')
    return text.rstrip("/")


def channel(text: str, folders: Folders) -> Channel:
    """Read a place where an agent can get bundles."""
    found = parse_channel(expanded(text, folders), folders.runtime_dir)
    if isinstance(found, DaskTargetSpec):
        raise _wrong("a target only", 'what is delivered over Dask arrives by the channel "socket"')
    path = getattr(found, "path", "/")
    if not path.startswith("/"):
        raise _wrong("a relative path", f"write it from the root on: {found.kind}:/…")
    if isinstance(found, SocketChannelSpec) and len(os.fsencode(path)) > LONGEST_SOCKET_PATH_BYTES:
        raise _wrong(f"a socket's path of over {LONGEST_SOCKET_PATH_BYTES} bytes", "choose a shorter agent.runtime_dir")
    return found


def address(text: str, _folders: Folders) -> Address:
    """Read a loopback address: at any other, hosts of the network could ask for credentials."""
    octet = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    found = re.fullmatch(rf"(127(?:\.{octet}){{3}}|localhost|\[::1\]):([0-9]{{1,5}})", text, re.ASCII)
    if found is None or int(found[2]) > LAST_PORT:
        raise _wrong("not a loopback address with a port", 'write "127.0.0.1:PORT", "[::1]:PORT" or "localhost:PORT"')
    return Address(found[1].strip("[]"), int(found[2]))


def address_or_none(text: str, folders: Folders) -> Address | None:
    """Read a loopback address that may be left empty."""
    return address(text, folders) if text else None


def _wrong(why: str, hint: str) -> ConfigurationError:
    return ConfigurationError("wrong-value", why, hint=hint)


def _wrong_type(raw: object, accepted: str) -> ConfigurationError:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return ConfigurationError("wrong-type", names.get(type(raw), "a date or time"), hint=f"write {accepted}")
