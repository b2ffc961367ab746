"""Where a connection wanted to go before the kernel redirected it here. What is answered there is in `http/`."""

import socket
import struct

METADATA_IPV4 = "169.254.169.254"  # both clouds'
METADATA_IPV6 = ("fd00:ec2::254", "fd20:ce::254")  # EC2's, and Google's
METADATA_PORT = 80
METADATA_HOSTS = frozenset(
    f"{host}{port}".encode()
    for host in (METADATA_IPV4, *(f"[{address}]" for address in METADATA_IPV6), "metadata.google.internal", "metadata")
    for port in ("", f":{METADATA_PORT}")
)
"""What the Host header of a request to the metadata service may be; the names are Google's."""

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST in netfilter_ipv6/ip6_tables.h has the same number
_SOL_IPV6 = 41
_SOCKADDR_IN, _SOCKADDR_IN6 = struct.Struct("!2xH4s8x"), struct.Struct("!2xH4x16s4x")


def original_destination(connection: socket.socket) -> tuple[str, int] | None:
    """Return the address and port that the client connected to; None where the kernel knows of no redirection.

    A connection that was not redirected has its own address here, or none (where nothing on the machine redirects).
    """
    try:
        if connection.family == socket.AF_INET6:
            port, packed = _SOCKADDR_IN6.unpack(connection.getsockopt(_SOL_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size))
            return socket.inet_ntop(socket.AF_INET6, packed), port
        port, packed = _SOCKADDR_IN.unpack(connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size))
        return socket.inet_ntop(socket.AF_INET, packed), port
    except OSError:
        return None


def is_metadata_service(destination: tuple[str, int] | None) -> bool:
    """Tell whether `destination` is where one of the clouds has its metadata service."""
    return destination in [(address, METADATA_PORT) for address in (METADATA_IPV4, *METADATA_IPV6)]
