"""Where a scheduler is, and how one speaks with it. Connecting is in `wire`."""

import ssl

from msgspec import Struct

from credagent.errors import UsageError

DEFAULT_PORT = 8786


class SchedulerAddress(Struct, frozen=True, kw_only=True):
    """A scheduler's address. `context` is there exactly for tls."""

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None

    @property
    def text(self) -> str:
        """Return it as Dask writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse(text: str, context: ssl.SSLContext | None = None) -> SchedulerAddress:
    """Return the place that `text` names, tcp and port 8786 unless it says otherwise. Raises UsageError."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "tls" if context is not None else "tcp", text.strip()
    if scheme not in ("tcp", "tls"):
        hint = "give the address that `dask scheduler` prints, tcp://… or tls://…"
        raise UsageError("bad-address", f"{scheme}:// is not a way to reach it from here", what="scheduler", hint=hint)
    if scheme == "tls" and context is None:
        hint = "name the cluster's CA, certificate and key: --tls-ca-file, --tls-cert, --tls-key"
        raise UsageError("no-tls", "a tls:// scheduler wants certificates", what=text, hint=hint)
    host, port = _split(rest.rstrip("/"))
    if not host or not 0 < port < 1 << 16:
        raise UsageError("bad-address", f"{text!r} is not an address", what="scheduler", hint="tcp://HOST:PORT")
    return SchedulerAddress(scheme=scheme, host=host, port=port, context=context if scheme == "tls" else None)


def _split(rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if not port:
        return host, DEFAULT_PORT
    return host, int(port) if port.isascii() and port.isdigit() else 0
