"""Takes the loopback ports, before anything serves on them: the daemon says that it is ready with its ports in hand.

Loaded on the boot path: no event loop here. What is served is `listeners`' business.
"""

import errno
import socket
from collections.abc import Sequence

from credagent import log
from credagent.config import Address
from credagent.errors import ConfigurationError, OutputError

BACKLOG = 512  # 64 worker processes with a few clients each, all starting at once
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def bind(listen: Sequence[Address], *, given: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Return listening sockets for `listen`, in that order; sockets `given` by the service manager replace them all.

    Port 0 takes one free port for all addresses, since the workers are told one. Raises ConfigurationError (a taken
    port: whoever holds it would be asked for credentials) and OutputError. A missing IPv6 is information.
    """
    if given:
        return [_checked(ready) for ready in given]
    taken: list[socket.socket] = []
    try:
        for address in listen:
            port = address.port or (taken[0].getsockname()[1] if taken and _any_port(listen) else 0)
            bound = _bind_one(Address(address.host, port))
            if bound is not None:
                taken.append(bound)
    except BaseException:
        for ready in taken:
            ready.close()
        raise
    if listen and not taken:
        hint = "name a loopback address that this machine has, 127.0.0.1:9817"
        raise ConfigurationError("no-address", "none of the addresses exists here", what="endpoint.listen", hint=hint)
    return taken


def address_of(ready: socket.socket) -> Address:
    """Return where a socket really listens."""
    host, port = ready.getsockname()[:2]
    return Address(host, port)


def preferred(sockets: Sequence[socket.socket]) -> Address:
    """Return the address that workers are told: IPv4 where there is one, as some clients know no other."""
    addresses = [address_of(ready) for ready in sockets]
    return next((address for address in addresses if ":" not in address.host), addresses[0])


def _checked(ready: socket.socket) -> socket.socket:
    """Take a socket from the service manager, unless it is open to other machines."""
    if ready.family not in (socket.AF_INET, socket.AF_INET6) or not _loopback(ready.getsockname()[0]):
        hint = "let the socket unit listen on 127.0.0.1 or [::1]"
        raise ConfigurationError("not-loopback", "is not a loopback address", what=str(ready.getsockname()), hint=hint)
    ready.setblocking(False)  # noqa: FBT003  its only parameter
    return ready


def _loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _any_port(listen: Sequence[Address]) -> bool:
    return all(address.port == 0 for address in listen)


def _bind_one(address: Address) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        ready = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        _judge(address, error)
        return None
    try:
        # Over the remains of our own closed connections only: Linux still refuses a port that somebody listens on.
        ready.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            ready.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ready.bind((address.host, address.port))
        # At once: between bind and listen another program with SO_REUSEADDR could listen first.
        ready.listen(BACKLOG)
    except OSError as error:
        ready.close()
        _judge(address, error)
        return None
    return ready


def _judge(address: Address, error: OSError) -> None:
    """Return where the failure is information only, else raise what it means."""
    if ":" in address.host and error.errno in _NO_SUCH_ADDRESS:
        log.info("address_missing", address=str(address), reason=error.strerror)
        return
    if error.errno == errno.EADDRINUSE:
        hint = "see who listens there (ss -ltnp), or set endpoint.listen to another port"
        raise ConfigurationError("port-taken", "the port is taken", what=str(address), hint=hint) from error
    hint = "set endpoint.listen to an address of this machine, and a port that this user may take (above 1023)"
    raise OutputError("not-bound", error.strerror or "cannot listen", what=str(address), hint=hint) from error
