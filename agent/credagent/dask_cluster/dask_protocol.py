"""Dask's framing over one TCP or TLS connection, read and written without Dask.

distributed's own reader unpickles and imports what a message names, even with ``deserialize=False`` (`__Pickled__`,
`__Enum__`). Here is the signing key, so what a cluster says is read as numbers, text, bytes, lists and mappings only;
whatever it wraps stays an inert mapping. Nothing that could turn received bytes into objects may be added here.

A message is its length, the number of its frames, the length of each, and the frames; large frames may follow behind
that length. The first frame holds the plain values (msgpack, decoded in `answer_limits`), the others hold pickles and
arrays, which are not read.
"""

import asyncio
import os
import ssl
import struct
import sys

import msgspec

from credagent.dask_cluster.answer_limits import NoAnswer
from credagent.errors import Unavailable

CONNECT_S = 10.0
HANDSHAKE_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_LENGTH = struct.Struct("<Q")


class DaskConnection:
    """One connection to a scheduler. Not for concurrent readers; `close` never fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over an open connection on which the handshake is done."""
        self._reader = reader
        self._writer = writer

    async def send(self, message: object) -> None:
        """Write one message of plain values. Raises Unavailable when the connection ends."""
        try:
            self._writer.write(pack(message))
            await self._writer.drain()
        except OSError as error:
            raise lost() from error

    async def receive(self, limit_bytes: int) -> bytes:
        """Return the first frame of the next message. What is larger than `limit_bytes` is read past and not kept.

        Raises NoAnswer for a frame that is too large, after which the next message can be read. Raises Unavailable
        when the connection ends, or what comes is not framed as Dask does it.
        """
        try:
            (total,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            first, all_frames = await self._frame_lengths(total)
            inside = total - all_frames.prelude
            rest = max(inside, all_frames.length) - first
            if first > inside:
                raise _broken("a message that is cut short")
            if first > limit_bytes:
                await self._skip(first + rest)
                raise NoAnswer("bad-answer", f"the scheduler sent {first} bytes where {limit_bytes} are possible")
            frame = await self._reader.readexactly(first)
            await self._skip(rest)
        except (EOFError, OSError) as error:
            raise lost() from error
        return frame

    async def _frame_lengths(self, total: int) -> "tuple[int, _Frames]":
        """Return the length of the first frame, and of all; there may be thousands, which are only added up."""
        if total < 2 * _LENGTH.size:
            raise _broken("a message that is cut short")
        (count,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        prelude = _LENGTH.size * (1 + count)
        if not count > 0 or prelude > total:
            raise _broken(f"a message of {count} frames")
        first, length, left = 0, 0, _LENGTH.size * count
        while left:
            chunk = await self._reader.readexactly(min(left, _CHUNK_BYTES))
            numbers = struct.unpack(f"<{len(chunk) // _LENGTH.size}Q", chunk)
            first = numbers[0] if left == _LENGTH.size * count else first
            length += sum(numbers)
            left -= len(chunk)
        return first, _Frames(prelude=prelude, length=length)

    async def _skip(self, missing: int) -> None:
        while missing > 0:
            missing -= len(await self._reader.readexactly(min(missing, _CHUNK_BYTES)))

    def close(self) -> None:
        """Close the connection at once, whatever was not sent yet."""
        self._writer.transport.abort()


class _Frames(msgspec.Struct, frozen=True, kw_only=True):
    """How long the list of lengths is (`prelude`), and how long all frames are together."""

    prelude: int
    length: int


async def connect(host: str, port: int, context: ssl.SSLContext | None, server_name: str = "") -> DaskConnection:
    """Connect and exchange handshakes within CONNECT_S. `server_name` is what TLS asks for. Raises Unavailable."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=server_name if context else None
            )
            connection = DaskConnection(reader, writer)
            try:
                await connection.send(_handshake())
                answer = await connection.receive(HANDSHAKE_BYTES)
            except Unavailable as error:
                connection.close()
                raise _no_handshake(f"{host}:{port}", error, encrypted=context is not None) from error
            except BaseException:
                connection.close()
                raise
    except (OSError, TimeoutError) as error:
        raise _unreachable(host, port, error, of_a_gateway=bool(server_name)) from error
    if not _is_mapping(answer):
        connection.close()
        raise _broken("no handshake")
    return connection


def pack(message: object) -> bytes:
    """Return `message` as one frame with its lengths in front."""
    frame = msgspec.msgpack.encode(message)
    header = _LENGTH.pack(1) + _LENGTH.pack(len(frame))
    return _LENGTH.pack(len(header) + len(frame)) + header + frame


def lost() -> Unavailable:
    """Return the error of a connection that ended."""
    hint = "the forwarder connects again; if it does not last, see the scheduler's log"
    return Unavailable("connection-lost", "the connection to the scheduler ended", what="dask", hint=hint)


def _is_mapping(frame: bytes) -> bool:
    try:
        msgspec.msgpack.decode(frame, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _handshake() -> dict[str, object]:
    # Without compression, so that one decoder is enough. Dask picks the lower pickle protocol of the two sides.
    return {"compression": None, "python": tuple(sys.version_info[:3]), "pickle-protocol": 5}


def _broken(what: str) -> Unavailable:
    hint = "is this the address of a Dask scheduler?"
    return Unavailable("not-dask", f"the scheduler sent {what}", what="dask", hint=hint)


def _no_handshake(place: str, error: Unavailable, *, encrypted: bool) -> Unavailable:
    if encrypted:
        hint = error.hint if error.code == "not-dask" else "does it accept your certificate? --tls-cert, --tls-key"
        return Unavailable(error.code, error.why, what=place, hint=hint)
    hint = "is this a Dask scheduler? if it demands TLS, give its address as tls://, and its certificates"
    return Unavailable(error.code, error.why, what=place, hint=hint)


def _unreachable(host: str, port: int, error: Exception, *, of_a_gateway: bool) -> Unavailable:
    place = f"{host}:{port}"
    if of_a_gateway and isinstance(error, ssl.SSLEOFError | ConnectionResetError):
        # Its proxy closes before TLS begins where it has no such name, or nobody answers at what it has for it.
        why = "the gateway has no scheduler for this cluster: it has ended, or the gateway is just coming back"
        hint = "if Gateway().list_clusters() does not list it, start another cluster and forward to that"
        return Unavailable("no-cluster", why, what=place, hint=hint)
    if isinstance(error, ssl.SSLError):
        why = "the TLS handshake failed (certificate not trusted, or the scheduler speaks no TLS)"
        hint = "name the cluster's CA, certificate and key: --tls-ca-file, --tls-cert, --tls-key"
        return Unavailable("tls-failed", why, what=place, hint=hint)
    number = getattr(error, "errno", None) or 0
    told = os.strerror(number) if number > 0 else getattr(error, "strerror", None)  # asyncio's own names Python tuples
    why = "no answer" if isinstance(error, TimeoutError) else (told or "cannot be reached")
    return Unavailable("unreachable", why, what=place, hint="check the address; is the scheduler running?")
