"""Runs one errand in a helper process of its own and waits for the answer, never longer than the deadline.

The helper gets its request by stdin, once it has said (by the first byte of its answer) that nobody can look into it:
until then its user's other processes could read its stdin in /proc. It is alone in its session, so that the kill at the
deadline also takes what an SDK started (a `credential_process`). Its stderr is discarded: that is the SDKs' text, and
it may hold secrets.
Neither asyncio nor subprocess is imported before the first call: the daemon is ready earlier than that.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, TypeVar

import msgspec

from credagent.cloud_helper.environment import helper_environment
from credagent.cloud_helper.helper_protocol import decode_reply, encode_errand, is_local
from credagent.cloud_helper.job_requests import RequestFor
from credagent.cloud_helper.job_responses import Failed
from credagent.errors import InternalError, Unavailable

if TYPE_CHECKING:
    import subprocess

A = TypeVar("A")

MAX_REQUEST_BYTES = 60 * 1024  # fits a pipe's buffer (64 KiB), so that writing it can never block
MAX_REPLY_BYTES = 1024 * 1024  # a bundle of 128 KiB in base64 is the largest answer there is
READ_BYTES = 64 * 1024
REAP_S = 2.0  # a killed process is gone in milliseconds, unless it hangs in the kernel (a dead network file system)
REAP_POLL_S = 0.003


async def call(request: RequestFor[A], *, deadline_s: float, environ: Mapping[str, str] | None = None) -> A:
    """Return the answer to `request`. Raises Unavailable with the failure's code, `timed-out` or `helper-crashed`.

    `environ` stands for this process's own environment. Cancelling kills the helper and waits until it is gone.
    """
    import asyncio

    errand = _errand(request, deadline_s)
    helper = _started(request, environ)
    try:
        async with asyncio.timeout(deadline_s):
            output = await _converse(helper, errand)
    except TimeoutError:
        raise _timed_out(deadline_s) from None
    finally:
        _kill(helper)
        for _ in range(int(REAP_S / REAP_POLL_S)):
            if helper.poll() is not None:
                break
            await asyncio.sleep(REAP_POLL_S)
    return _answer(output)


def call_blocking(request: RequestFor[A], *, deadline_s: float, environ: Mapping[str, str] | None = None) -> A:
    """Do the same without an event loop."""
    errand = _errand(request, deadline_s)
    helper = _started(request, environ)
    try:
        output = _converse_blocking(helper, errand, time.monotonic() + deadline_s)
    except TimeoutError:
        raise _timed_out(deadline_s) from None
    finally:
        _kill(helper)
        for _ in range(int(REAP_S / REAP_POLL_S)):
            if helper.poll() is not None:
                break
            time.sleep(REAP_POLL_S)
    return _answer(output)


def _errand(request: RequestFor[A], deadline_s: float) -> bytes:
    errand = encode_errand(request, deadline_s)
    if len(errand) > MAX_REQUEST_BYTES:
        raise InternalError("request-too-large", f"{len(errand)} bytes, at most {MAX_REQUEST_BYTES}")
    return errand


def _started(request: RequestFor[A], environ: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
    """Start a helper."""
    import subprocess

    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "credagent.cloud_helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=helper_environment(os.environ if environ is None else environ, local=is_local(request)),
            start_new_session=True,
        )
    except OSError as exc:
        raise Unavailable(
            "helper-not-started",
            os.strerror(exc.errno or 0),
            what="the process that talks to the cloud",
            hint="is there memory, and room for one more process?",
        ) from exc


def _give(helper: "subprocess.Popen[bytes]", errand: bytes) -> None:
    """Give the helper its errand: it has just said its first byte."""
    with _input_of(helper) as pipe, suppress(BrokenPipeError):  # it has crashed already; its missing answer tells
        pipe.write(errand)


async def _converse(helper: "subprocess.Popen[bytes]", errand: bytes) -> bytes:
    """Give the errand when the helper is ready for it, and read to the end, or to the limit."""
    import asyncio

    output = _output_of(helper)
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    descriptor, read = output.fileno(), bytearray()
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, readable.set)
    try:
        while len(read) <= MAX_REPLY_BYTES:
            await readable.wait()
            readable.clear()
            block = output.read(READ_BYTES)
            if block == b"":
                break
            if block and not read:
                _give(helper, errand)
            read += block or b""
    finally:
        loop.remove_reader(descriptor)
    return bytes(read)


def _converse_blocking(helper: "subprocess.Popen[bytes]", errand: bytes, until: float) -> bytes:
    output, read = _output_of(helper), bytearray()
    poll = select.poll()
    poll.register(output, select.POLLIN)
    while len(read) <= MAX_REPLY_BYTES:
        left_s = until - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise TimeoutError
        block = output.read(READ_BYTES)
        if not block:
            break
        if not read:
            _give(helper, errand)
        read += block
    return bytes(read)


def _kill(helper: "subprocess.Popen[bytes]") -> None:
    """End the helper and whatever it started, and let go of the pipes.

    It was not reaped before, so its number cannot be another process's yet.
    """
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM where only the dead are left
        os.killpg(helper.pid, signal.SIGKILL)
    _output_of(helper).close()
    _input_of(helper).close()


def _answer(output: bytes) -> A:  # type: ignore[type-var]  # the request names its answer
    if len(output) > MAX_REPLY_BYTES:
        raise _crashed("its answer has no end")
    try:
        reply = decode_reply(output)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _crashed("it ended without a whole answer") from None
    if isinstance(reply, Failed):
        raise Unavailable(reply.code, reply.why, what=reply.what, hint=reply.hint, retry=reply.retry)
    return reply  # type: ignore[return-value]  # the request names its answer


def _input_of(helper: "subprocess.Popen[bytes]") -> IO[bytes]:
    if helper.stdin is None:
        raise TypeError("the helper was started without a pipe")
    return helper.stdin


def _output_of(helper: "subprocess.Popen[bytes]") -> IO[bytes]:
    if helper.stdout is None:
        raise TypeError("the helper was started without a pipe")
    return helper.stdout


def _timed_out(deadline_s: float) -> Unavailable:
    return Unavailable(
        "timed-out",
        f"no answer within {deadline_s:g} s",
        what="the process that talks to the cloud",
        hint="a service, a name server or a proxy hangs: look at network and HTTPS_PROXY",
    )


def _crashed(why: str) -> Unavailable:
    return Unavailable(
        "helper-crashed", why, what="the process that talks to the cloud", hint="please report it if it happens again"
    )
