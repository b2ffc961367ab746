"""Dask's messages, read and written without Dask: framing and plain msgpack over one TCP or TLS connection.

distributed's own reader unpickles and imports what a message names, even with ``deserialize=False`` (`__Pickled__`,
`__Enum__`). Here is the signing key, so what a cluster says is read as numbers, text, bytes, lists and mappings only;
whatever it wraps stays an inert mapping. Nothing that could turn received bytes into objects may be added here.
"""

import asyncio
import ssl
import struct
import sys
from typing import Any

import msgspec

from credagent.errors import Unavailable

CONNECT_S = 10.0
MESSAGE_BYTES = 64 * 1024 * 1024  # a scheduler's identity with 10,000 workers and their metrics stays below
FRAMES = 4_096
_LENGTH = struct.Struct("<Q")


class DaskConnection:
    """One connection to a scheduler. Not for concurrent readers; `close` never fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over an open connection on which the handshake is done."""
        self._reader = reader
        self._writer = writer

    @property
    def closed(self) -> bool:
        """Tell whether this side has closed it."""
        return self._writer.is_closing()

    async def send(self, message: object) -> None:
        """Write one message of plain values."""
        self._writer.write(pack(message))
        await self._writer.drain()

    async def receive(self) -> Any:  # noqa: ANN401  whatever msgpack can say; every caller narrows it
        """Read one message. Raises Unavailable when the connection ends or what comes is no message."""
        try:
            (total,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if total > MESSAGE_BYTES:
                raise _broken(f"a message of {total} bytes")
            body = await self._reader.readexactly(total)
            lengths = _frame_lengths(body)
            start = _LENGTH.size * (1 + len(lengths))
            await self._skip(start + sum(lengths) - total)
        except (EOFError, OSError, ssl.SSLError) as error:
            raise lost() from error
        return unpack(body[start : start + lengths[0]])

    async def _skip(self, missing: int) -> None:
        """Read past large frames that follow the prelude: they hold pickles and arrays, which nobody here wants."""
        if missing > MESSAGE_BYTES:
            raise _broken(f"frames of {missing} bytes")
        while missing > 0:
            missing -= len(await self._reader.readexactly(min(missing, 1 << 20)))

    def close(self) -> None:
        """Drop the connection at once: there is nothing to say goodbye for."""
        self._writer.transport.abort()


async def connect(host: str, port: int, context: ssl.SSLContext | None) -> DaskConnection:
    """Connect and exchange handshakes within CONNECT_S. Raises Unavailable."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname="" if context else None
            )
            wire = DaskConnection(reader, writer)
            try:
                await wire.send(_handshake())
                answer = await wire.receive()
            except Unavailable as error:
                wire.close()
                raise _no_handshake(f"{host}:{port}", error, encrypted=context is not None) from error
            except BaseException:
                wire.close()
                raise
    except (OSError, ssl.SSLError, TimeoutError) as error:
        raise _unreachable(host, port, error) from error
    if not isinstance(answer, dict):
        wire.close()
        raise _broken("no handshake")
    return wire


def pack(message: object) -> bytes:
    """Return `message` as one frame with its lengths in front."""
    frame = msgspec.msgpack.encode(message)
    header = _LENGTH.pack(1) + _LENGTH.pack(len(frame))
    return _LENGTH.pack(len(header) + len(frame)) + header + frame


def unpack(frame: bytes) -> Any:  # noqa: ANN401  as `receive`
    """Return the plain values in `frame`. Raises Unavailable for what is not msgpack."""
    try:
        return msgspec.msgpack.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise _broken("not msgpack") from error


def lost() -> Unavailable:
    """Return the error of a connection that ended."""
    return Unavailable("connection-lost", "the connection to the scheduler ended", what="dask")


def _frame_lengths(body: bytes) -> tuple[int, ...]:
    try:
        (count,) = _LENGTH.unpack_from(body)
        if not 0 < count <= FRAMES:
            raise _broken(f"{count} frames")
        lengths: tuple[int, ...] = struct.unpack_from(f"<{count}Q", body, _LENGTH.size)
    except struct.error as error:
        raise _broken("cut short") from error
    if _LENGTH.size * (1 + count) + lengths[0] > len(body):
        raise _broken("cut short")
    return lengths


def _handshake() -> dict[str, object]:
    # Without compression, so that one decoder is enough. Dask picks the lower pickle protocol of the two sides.
    return {"compression": None, "python": tuple(sys.version_info[:3]), "pickle-protocol": 5}


def _broken(what: str) -> Unavailable:
    hint = "is this the address of a Dask scheduler?"
    return Unavailable("not-dask", f"the scheduler sent {what}", what="dask", hint=hint)


def _no_handshake(place: str, error: Unavailable, *, encrypted: bool) -> Unavailable:
    if encrypted:
        hint = error.hint or "does it accept your certificate? --tls-cert, --tls-key"
        return Unavailable(error.code, error.why, what=place, hint=hint)
    hint = "is this a Dask scheduler? if it demands TLS, give its address as tls://, and its certificates"
    return Unavailable(error.code, error.why, what=place, hint=hint)


def _unreachable(host: str, port: int, error: Exception) -> Unavailable:
    place = f"{host}:{port}"
    if isinstance(error, ssl.SSLError):
        why = "the TLS handshake failed (certificate not trusted, or the scheduler speaks no TLS)"
        hint = "name the cluster's CA, certificate and key: --tls-ca-file, --tls-cert, --tls-key"
        return Unavailable("tls-failed", why, what=place, hint=hint)
    why = "no answer" if isinstance(error, TimeoutError) else (getattr(error, "strerror", None) or "cannot be reached")
    return Unavailable("unreachable", why, what=place, hint="check the address; is the scheduler running?")
