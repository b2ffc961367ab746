"""The grammar of channels and targets: one text, one typed value. Reading or writing a channel belongs to `channels`.

`channel_text` is what people see. The address of an `https` channel may carry a signature in its query (a presigned
URL), so neither that text nor an error shows one.
"""

import re
from collections.abc import Callable
from typing import ClassVar, assert_never

from msgspec import Struct

from credagent.errors import ConfigurationError

SEALED_VARIABLE = "CREDAGENT_SEALED"
DEFAULT_RUNTIME_DIR = "/run/credagent"
SOCKET_NAME = "agent.sock"

GRAMMAR = (
    "file:PATH, env[:NAME], stdin, socket[:PATH], credential:NAME, ec2-user-data, gce-attribute:NAME, https://…, "
    "s3://BUCKET/KEY, gs://BUCKET/NAME, aws-ssm:NAME, dask:ADDRESS"
)


class FileChannelSpec(Struct, frozen=True):
    """A file into which the bundle is renamed."""

    path: str
    kind: ClassVar[str] = "file"


class EnvironmentChannelSpec(Struct, frozen=True):
    """A variable of the agent's own environment."""

    name: str
    kind: ClassVar[str] = "env"


class StdinChannelSpec(Struct, frozen=True):
    """The agent's standard input, read once."""

    kind: ClassVar[str] = "stdin"


class SocketChannelSpec(Struct, frozen=True):
    """The agent's socket: a push channel."""

    path: str
    kind: ClassVar[str] = "socket"


class CredentialChannelSpec(Struct, frozen=True):
    """A systemd credential, in the folder that systemd names to the service."""

    name: str
    kind: ClassVar[str] = "credential"


class Ec2UserDataChannelSpec(Struct, frozen=True):
    """The user data of this EC2 instance."""

    kind: ClassVar[str] = "ec2-user-data"


class GceAttributeChannelSpec(Struct, frozen=True):
    """A metadata attribute of this Google Cloud instance."""

    name: str
    kind: ClassVar[str] = "gce-attribute"


class HttpsChannelSpec(Struct, frozen=True):
    """An address on the web. `url` may carry a signature: show `channel_text` instead."""

    url: str
    kind: ClassVar[str] = "https"

    def __repr__(self) -> str:
        """Keep a signature out of traces and logs."""
        return f"HttpsChannel({channel_text(self)!r})"


class S3ChannelSpec(Struct, frozen=True):
    """An object in Amazon S3."""

    bucket: str
    key: str
    kind: ClassVar[str] = "s3"


class GsChannelSpec(Struct, frozen=True):
    """An object in Google Cloud Storage."""

    bucket: str
    name: str
    kind: ClassVar[str] = "gs"


class SsmChannelSpec(Struct, frozen=True):
    """A parameter (its name or ARN) in the AWS Systems Manager parameter store."""

    name: str
    kind: ClassVar[str] = "aws-ssm"


class DaskTargetSpec(Struct, frozen=True):
    """A Dask scheduler. Only a target: to an agent, what Dask delivers comes by its socket."""

    address: str
    kind: ClassVar[str] = "dask"


Channel = (
    FileChannelSpec
    | EnvironmentChannelSpec
    | StdinChannelSpec
    | SocketChannelSpec
    | CredentialChannelSpec
    | Ec2UserDataChannelSpec
    | GceAttributeChannelSpec
    | HttpsChannelSpec
    | S3ChannelSpec
    | GsChannelSpec
    | SsmChannelSpec
)
Target = Channel | DaskTargetSpec

VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
CREDENTIAL = r"(?!\.{1,2}$)[^/\x00-\x20\x7f:]{1,255}"
_PATH = r"[^\x00-\x1f]{1,4096}"

# One row for each channel: how it is written, what makes a value of its parts, and what a wrong one is told.
_ROWS: tuple[tuple[str, Callable[..., Target], str], ...] = (
    (rf"file:({_PATH})", FileChannelSpec, "file:PATH"),
    (rf"env:({VARIABLE})", EnvironmentChannelSpec, "env or env:NAME, NAME a variable's name"),
    (r"stdin", StdinChannelSpec, "stdin"),
    (rf"socket:({_PATH})", SocketChannelSpec, "socket or socket:PATH"),
    (rf"credential:({CREDENTIAL})", CredentialChannelSpec, "credential:NAME, NAME without slashes or blanks"),
    (r"ec2-user-data", Ec2UserDataChannelSpec, "ec2-user-data"),
    (
        r"gce-attribute:([A-Za-z0-9_-]{1,128})",
        GceAttributeChannelSpec,
        "gce-attribute:NAME, of letters, digits, _ and -",
    ),
    (
        r"(https://[^\s/?#@\\]+(?:[/?][^\s#]*)?)",
        HttpsChannelSpec,
        "https://HOST/PATH without user, password or fragment",
    ),
    (r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(\S{1,1024})", S3ChannelSpec, "s3://BUCKET/KEY"),
    (r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/(\S{1,1024})", GsChannelSpec, "gs://BUCKET/NAME"),
    (r"aws-ssm:([A-Za-z0-9_.:/-]{1,2048})", SsmChannelSpec, "aws-ssm:NAME"),
    (r"dask:((?:[a-z]+://)?[^\s/]+:[0-9]{1,5})", DaskTargetSpec, "dask:HOST:PORT or dask:tls://HOST:PORT"),
)


def parse_channel(text: str, runtime_dir: str = DEFAULT_RUNTIME_DIR) -> Target:
    """Return the channel or target that `text` names; `runtime_dir` is where `socket` without a path is.

    Raises ConfigurationError, which says how the channel that was meant is written and never shows `text`.
    """
    full = {"env": f"env:{SEALED_VARIABLE}", "socket": f"socket:{runtime_dir}/{SOCKET_NAME}"}.get(text, text)
    for pattern, make, _ in _ROWS:
        found = re.fullmatch(pattern, full, re.ASCII)
        if found is not None:
            return make(*found.groups())
    raise _not_a_channel(full.partition(":")[0])


def channel_text(target: Target) -> str:
    """Return what people see of a channel: how it would be written, without what may be a signature."""
    match target:
        case StdinChannelSpec() | Ec2UserDataChannelSpec():
            return target.kind
        case HttpsChannelSpec():
            place, query, _ = target.url.partition("?")
            return f"{place}?***" if query else place
        case S3ChannelSpec():
            return f"s3://{target.bucket}/{target.key}"
        case GsChannelSpec():
            return f"gs://{target.bucket}/{target.name}"
        case FileChannelSpec() | SocketChannelSpec():
            return f"{target.kind}:{target.path}"
        case EnvironmentChannelSpec() | CredentialChannelSpec() | GceAttributeChannelSpec() | SsmChannelSpec():
            return f"{target.kind}:{target.name}"
        case DaskTargetSpec():
            return f"dask:{target.address}"
        case _:
            assert_never(target)


def _not_a_channel(scheme: str) -> ConfigurationError:
    forms = {form.partition(":")[0].partition(" ")[0]: form for _, _, form in _ROWS}
    if scheme in forms:
        return ConfigurationError(
            "wrong-channel", f"not a channel as {scheme} is written", hint=f"write {forms[scheme]}"
        )
    from difflib import get_close_matches  # noqa: PLC0415  only for those who mistyped

    near = get_close_matches(scheme.lower(), forms, 1)
    hint = f"did you mean {forms[near[0]]}?" if near else f"one of {GRAMMAR}"
    return ConfigurationError("wrong-channel", "not a channel", hint=hint)
