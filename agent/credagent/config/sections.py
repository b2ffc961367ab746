"""The configuration as values: one struct for each section, with the defaults of a machine that has no configuration.

Durations are whole seconds (`*_s`). Keys stay plain texts here: the service opens them. Reading belongs to `loading`.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from credagent.config.channel_grammar import (
    DEFAULT_RUNTIME_DIR,
    SOCKET_NAME,
    Channel,
    FileChannelSpec,
    SocketChannelSpec,
)

DEFAULT_STATE_DIR = "/var/lib/credagent"

Expect = Literal["optional", "required"]
Fallback = Literal["absent", "expired", "never"]
AwsHandover = Literal["environment", "endpoint", "off"]
GoogleHandover = Literal["metadata", "off"]
AdmittedVariables = Literal["any", "listed"]
Others = Literal["leave", "reject"]
LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Address(Struct, frozen=True):
    """A loopback address and a TCP port; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as the configuration does."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AgentSection(Struct, frozen=True, kw_only=True):
    """The agent itself. An empty `audience` accepts any, and then only with the recipient key `state`."""

    audience: str = ""
    runtime_dir: str = DEFAULT_RUNTIME_DIR
    state_dir: str = DEFAULT_STATE_DIR
    settle_s: int = 10
    min_validity_s: int = 10


class BundleSection(Struct, frozen=True, kw_only=True):
    """Where bundles arrive, who may send them, and what opens them."""

    channels: tuple[Channel, ...] = (
        FileChannelSpec(f"{DEFAULT_RUNTIME_DIR}/inbox/bundle"),
        SocketChannelSpec(f"{DEFAULT_RUNTIME_DIR}/{SOCKET_NAME}"),
    )
    recipient_keys: tuple[str, ...] = ("state",)
    trusted_senders: tuple[str, ...] = ()
    trusted_identities: tuple[str, ...] = ()
    identity_max_age_s: int = 86_400
    expect: Expect = "optional"
    max_age_s: int = 86_400
    deliver_users: tuple[str, ...] = ()

    @property
    def trusts_nobody(self) -> bool:
        """Tell whether no sender is trusted, neither by key nor by identity: no bundle is admitted."""
        return not (self.trusted_senders or self.trusted_identities)


class AwsSection(Struct, frozen=True, kw_only=True):
    """The slot `aws`."""

    handover: AwsHandover = "environment"
    fallback: Fallback = "absent"
    required: bool = False
    region: str = ""
    assumable_roles: tuple[str, ...] = ()
    admit_long_term: bool = False


class GoogleSection(Struct, frozen=True, kw_only=True):
    """The slot `google`."""

    handover: GoogleHandover = "metadata"
    fallback: Fallback = "absent"
    required: bool = False
    project: str = ""
    scopes: tuple[str, ...] = ("https://www.googleapis.com/auth/cloud-platform",)
    impersonable: tuple[str, ...] = ()
    admit_refresh_token: bool = False


class EnvironmentSection(Struct, frozen=True, kw_only=True):
    """The slot `environment`: which custom variables are admitted. `allow`: exceptions to the deny list, or a list."""

    admit: AdmittedVariables = "any"
    allow: tuple[str, ...] = ()


class WorkersSection(Struct, frozen=True, kw_only=True):
    """Who gets credentials on this machine. An empty `env_file` writes none.

    `intercept`: their connections to the clouds' metadata services are redirected to the agent, which answers IMDSv1
    too where `intercept_imdsv1`. `intercept_others`: what becomes of other users' (not root's, not the agent's).
    """

    env_file: str = f"{DEFAULT_RUNTIME_DIR}/worker.env"
    users: tuple[str, ...] = ("dask",)
    groups: tuple[str, ...] = ("dask",)
    intercept: bool = False
    intercept_imdsv1: bool = False
    intercept_others: Others = "leave"


class EndpointSection(Struct, frozen=True, kw_only=True):
    """The loopback listeners; `metrics` None: only on the socket."""

    listen: tuple[Address, ...] = (Address("127.0.0.1", 9817), Address("::1", 9817))
    metrics: Address | None = None


class LogSection(Struct, frozen=True, kw_only=True):
    """How the agent speaks."""

    format: LogFormat = "auto"
    level: LogLevel = "info"


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration.

    `left_aside` names variables that look like keys and are Kubernetes' links to a Service (`value_origins`). `path` is
    the file it came from ("" for none); `origins` says for each `section.key` that was given where it came
    from: `file`, `environment`, `flag`, or the key that decides it. A key that is not there has its default.
    """

    agent: AgentSection = AgentSection()
    bundle: BundleSection = BundleSection()
    aws: AwsSection = AwsSection()
    google: GoogleSection = GoogleSection()
    environment: EnvironmentSection = EnvironmentSection()
    workers: WorkersSection = WorkersSection()
    endpoint: EndpointSection = EndpointSection()
    log: LogSection = LogSection()
    left_aside: tuple[str, ...] = ()
    path: str = ""
    origins: Mapping[str, str] = {}
