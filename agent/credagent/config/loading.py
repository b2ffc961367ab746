"""The configuration: file, then environment, then flags, each winning over the one before, read once into values.

What a key accepts is in `keys`, what it becomes in `sections`; what follows from it is decided by the service. No
secret belongs in a configuration, and no error shows a value.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from credagent.config.channel_grammar import Channel, EnvironmentChannelSpec, channel_text
from credagent.config.default_folders import default_folders, default_trusted_senders, may_write
from credagent.config.keys import KEYS
from credagent.config.sections import (
    Address,
    AgentSection,
    AwsSection,
    BundleSection,
    Config,
    EndpointSection,
    EnvironmentSection,
    GoogleSection,
    LogSection,
    WorkersSection,
)
from credagent.config.value_origins import (
    Given,
    from_environment,
    from_file,
    from_flags,
    refuse_unknown_variables,
    service_links,
    what_can_be_read,
)
from credagent.config.values import Folders, read
from credagent.duration import duration_text
from credagent.errors import ConfigurationError
from credagent.system.machine_id import machine_fingerprint

_SECTION_TYPES: Mapping[str, Callable[..., Any]] = {
    "agent": AgentSection,
    "bundle": BundleSection,
    "aws": AwsSection,
    "google": GoogleSection,
    "environment": EnvironmentSection,
    "workers": WorkersSection,
    "endpoint": EndpointSection,
    "log": LogSection,
}
_DEFAULTS_IN_FOLDERS: Mapping[str, object] = {
    "bundle.channels": ["file:{runtime_dir}/inbox/bundle", "socket"],
    "workers.env_file": "{runtime_dir}/worker.env",
}


class Setting(Struct, frozen=True):
    """One key as people see it: `value` written as TOML, `origin` such as `default`, `file` or `environment`."""

    key: str
    value: str
    origin: str


def load(path: str | None, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Config:
    """Read the configuration from `path` (None: the default place, where it may be missing), `environ` and `flags`.

    `flags` maps `section.key` to a text as it would stand in the environment. Raises ConfigurationError, or
    PermissionRefused where others can write to the file.
    """
    used, given = from_file(path, environ)
    given |= from_environment(environ) | from_flags(flags or {})
    loaded = _composed(used, given, environ)
    named = (channel.name for channel in loaded.bundle.channels if isinstance(channel, EnvironmentChannelSpec))
    refuse_unknown_variables(environ, named)
    _refuse_contradictions(loaded, given)
    return _without_fallback(loaded) if loaded.bundle.expect == "required" else loaded


def load_what_can_be(path: str | None, environ: Mapping[str, str]) -> Config:
    """Return the configuration without what is wrong in it, for who asks an agent that runs on. Raises nothing.

    Nothing is started by it: an agent takes a configuration whole, or not at all.
    """
    used, in_file = what_can_be_read(path, environ)
    given = {}
    for key, value in (*in_file.items(), *_from_variables(environ)):
        try:
            _read(key, value, Folders("/run/credagent", "/var/lib/credagent"))
        except ConfigurationError:
            continue
        given[key] = value
    return _composed(used, given, environ)


def _from_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    for name, text in environ.items():
        with suppress(ConfigurationError):
            yield from from_environment({name: text}).items()


def _composed(used: str, given: dict[str, Given], environ: Mapping[str, str]) -> Config:
    folders = _folders(given, default_folders(environ, os.geteuid(), may_write, machine_fingerprint))
    defaults = {**_DEFAULTS_IN_FOLDERS, "bundle.trusted_senders": default_trusted_senders(environ, os.geteuid())}
    values = {key: Given(raw, "default", key) for key, raw in defaults.items()} | given
    arguments: dict[str, dict[str, object]] = {section: {} for section in _SECTION_TYPES}
    for key, value in values.items():
        section, _, name = key.partition(".")
        arguments[section][name + KEYS[key].suffix] = _read(key, value, folders)
    arguments["agent"] |= {"runtime_dir": folders.runtime_dir, "state_dir": folders.state_dir}
    return Config(
        **cast("Any", {section: make(**arguments[section]) for section, make in _SECTION_TYPES.items()}),
        left_aside=service_links(environ),
        path=used,
        origins={key: value.origin for key, value in given.items()},
    )


def describe(config: Config) -> list[Setting]:
    """Return every key with its value in force and where that came from, in the order of the documentation."""
    return [Setting(key, _toml(_value(config, key)), config.origins.get(key, "default")) for key in KEYS]


def _folders(given: Mapping[str, Given], default: Folders) -> Folders:
    for key in ("runtime_dir", "state_dir"):
        if (value := given.get(f"agent.{key}")) is not None:
            default = replace(default, **{key: _read(f"agent.{key}", value, default)})
    return default


def _read(key: str, given: Given, folders: Folders) -> object:
    try:
        return read(KEYS[key], given.raw, folders)
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=given.place, hint=error.hint) from error


def _refuse_contradictions(config: Config, given: Mapping[str, Given]) -> None:
    keys = config.bundle.recipient_keys
    if config.agent.audience == "" and keys != ("state",):
        # A key that several machines hold opens bundles of every cluster they are in: the audience keeps those apart.
        place = given["bundle.recipient_keys"].place
        why = 'keys other than "state" need agent.audience, since other machines may hold them too'
        raise ConfigurationError("no-audience", why, what=place, hint="set agent.audience to the name of this cluster")


def _without_fallback(config: Config) -> Config:
    origins = {**config.origins, **dict.fromkeys(("aws.fallback", "google.fallback"), "bundle.expect")}
    aws, google = replace(config.aws, fallback="never"), replace(config.google, fallback="never")
    return replace(config, aws=aws, google=google, origins=origins)


def _value(config: Config, key: str) -> object:
    section, _, name = key.partition(".")
    suffix = KEYS[key].suffix
    value = getattr(getattr(config, section), name + suffix)
    return duration_text(value) if suffix else value


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str | Address):
        import json  # noqa: PLC0415  the daemon describes nothing

        return json.dumps(str(value), ensure_ascii=False)  # a JSON text is a TOML text
    return '""' if value is None else _toml(channel_text(cast("Channel", value)))
