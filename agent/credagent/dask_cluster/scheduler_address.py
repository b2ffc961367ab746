"""Where a scheduler is, and how one speaks with it. Connecting is in `dask_protocol`.

`gateway://HOST:PORT/CLUSTER` is Dask Gateway's: TLS that ends in the cluster's scheduler, behind a proxy that finds the
cluster by the name that TLS asks for (SNI). One certificate of its own serves the whole cluster, clients included.
"""

import re
import ssl

from msgspec import Struct

from credagent.errors import UsageError

DEFAULT_PORT = 8786
ENCRYPTED = frozenset({"tls", "gateway"})
_CLUSTER = re.compile(r"[A-Za-z0-9._-]{0,200}")  # becomes a part of the name that TLS asks for


class SchedulerAddress(Struct, frozen=True, kw_only=True):
    """A scheduler's address. `context` is there exactly for tls and gateway, `cluster` for gateway."""

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    cluster: str = ""

    @property
    def text(self) -> str:
        """Return it as Dask writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{'/' if self.cluster else ''}{self.cluster}"

    @property
    def server_name(self) -> str:
        """Return the name that TLS asks for; "" where none is needed, as in Dask itself."""
        return f"daskgateway-{self.cluster}" if self.cluster else ""


def parse(text: str, context: ssl.SSLContext | None = None) -> SchedulerAddress:
    """Return the place that `text` names, tcp and port 8786 unless it says otherwise. Raises UsageError."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "tls" if context is not None else "tcp", text.strip()
    if scheme not in ("tcp", *ENCRYPTED):
        hint = "give the address that `dask scheduler` prints, tcp://… or tls://…, or a gateway://… cluster's"
        raise UsageError("bad-address", f"{scheme}:// is not a way to reach it from here", what="scheduler", hint=hint)
    if scheme in ENCRYPTED and context is None:
        hint = "name the cluster's CA, certificate and key: --tls-ca-file, --tls-cert, --tls-key"
        raise UsageError("no-tls", f"a {scheme}:// scheduler wants certificates", what=text, hint=hint)
    rest, _, cluster = rest.rstrip("/").partition("/")
    host, port = _split(rest)
    if not host or not 0 < port < 1 << 16 or bool(cluster) != (scheme == "gateway") or not _CLUSTER.fullmatch(cluster):
        hint = (
            "gateway://HOST:PORT/CLUSTER, as `cluster.scheduler_address` says"
            if scheme == "gateway"
            else f"{scheme}://HOST:PORT"
        )
        raise UsageError("bad-address", f"{text!r} is not an address", what="scheduler", hint=hint)
    return SchedulerAddress(
        scheme=scheme, host=host, port=port, context=context if scheme in ENCRYPTED else None, cluster=cluster
    )


def _split(rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if not port:
        return host, DEFAULT_PORT
    return host, int(port) if port.isascii() and port.isdigit() else 0
