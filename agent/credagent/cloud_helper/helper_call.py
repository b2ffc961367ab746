"""Runs one request in a helper process of its own and waits for the reply, never longer than the helper's two times.

The helper gets its request by stdin, once it has said (by the first byte of its output) that nobody can look into it:
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
from credagent.cloud_helper.helper_progress import WHAT, HelperProgress
from credagent.cloud_helper.helper_protocol import decode_reply, encode_job, is_local
from credagent.cloud_helper.job_requests import RequestFor
from credagent.cloud_helper.job_responses import Failed
from credagent.errors import InternalError, Unavailable

if TYPE_CHECKING:
    import subprocess

A = TypeVar("A")

MAX_REQUEST_BYTES = 60 * 1024  # fits a pipe's buffer (64 KiB), so that writing it can never block
MAX_REPLY_BYTES = 1024 * 1024  # a bundle of 128 KiB in base64 is the largest answer there is
READ_BYTES = 64 * 1024
_ISOLATED = "-IS" if sys.flags.no_site else "-I"  # the packaged interpreter needs no site to find everything
DEADLINE_S = 10.0
"""What services get: a metadata server answers in milliseconds, STS in less than a second; beyond this they hang."""
OWN_WORK_S = 90.0
"""What the helper gets for its own start and imports. With 5 % of a core (a pod's limit of 50m) an SDK takes 20 s."""
ALARM_LEEWAY_S = 1.0
REAP_S = 2.0  # a killed process is gone in milliseconds, unless it hangs in the kernel (a dead network file system)
REAP_POLL_S = 0.003


async def call(
    request: RequestFor[A],
    *,
    deadline_s: float = DEADLINE_S,
    own_work_s: float = OWN_WORK_S,
    environ: Mapping[str, str] | None = None,
) -> A:
    """Return the answer to `request`.

    `deadline_s` counts from when the helper begins to ask, and leaves out what it spends on imports; `own_work_s` is
    for those. `environ` stands for this process's own environment. Cancelling kills the helper and waits until it is
    gone. Raises Unavailable with the failure's code, `timed-out`, `helper-slow`, `helper-crashed` or
    `helper-not-started`.
    """
    import asyncio

    document = _document(request, deadline_s + own_work_s)
    helper = _started(request, environ)
    try:
        output = await _converse(helper, document, _begun(deadline_s, own_work_s))
    finally:
        _kill(helper)
        for _ in range(int(REAP_S / REAP_POLL_S)):
            if helper.poll() is not None:
                break
            await asyncio.sleep(REAP_POLL_S)
    return _answer(output)


def call_blocking(
    request: RequestFor[A],
    *,
    deadline_s: float = DEADLINE_S,
    own_work_s: float = OWN_WORK_S,
    environ: Mapping[str, str] | None = None,
) -> A:
    """Do the same without an event loop."""
    import subprocess

    document = _document(request, deadline_s + own_work_s)
    helper = _started(request, environ)
    try:
        output = _converse_blocking(helper, document, _begun(deadline_s, own_work_s))
    finally:
        _kill(helper)
        with suppress(subprocess.TimeoutExpired):
            helper.wait(REAP_S)
    return _answer(output)


def _begun(deadline_s: float, own_work_s: float) -> HelperProgress:
    return HelperProgress(since=time.monotonic(), own_work_s=own_work_s, deadline_s=deadline_s)


def _document(request: RequestFor[A], longest_s: float) -> bytes:
    document = encode_job(request, longest_s + ALARM_LEEWAY_S)
    if len(document) > MAX_REQUEST_BYTES:
        raise InternalError("request-too-large", f"{len(document)} bytes, at most {MAX_REQUEST_BYTES}")
    return document


def _started(request: RequestFor[A], environ: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
    """Start a helper."""
    import subprocess

    try:
        return subprocess.Popen(  # noqa: S603  this very interpreter, with a module of ours
            [sys.executable, _ISOLATED, "-m", "credagent.cloud_helper"],
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
            what=WHAT,
            hint="is there memory, and room for one more process?",
        ) from exc


def _give(helper: "subprocess.Popen[bytes]", document: bytes) -> None:
    """Give the helper its request: it has just said its first byte."""
    with _input_of(helper) as pipe, suppress(BrokenPipeError):  # it has crashed already; its missing answer tells
        pipe.write(document)


async def _converse(helper: "subprocess.Popen[bytes]", document: bytes, progress: HelperProgress) -> bytes:
    """Give the request when the helper is ready for it, and read to the end, or to the limit. Raises Unavailable."""
    import asyncio

    output = _output_of(helper)
    loop, awake, given = asyncio.get_running_loop(), asyncio.Event(), False
    os.set_blocking(output.fileno(), False)
    loop.add_reader(output.fileno(), awake.set)
    try:
        while len(progress.output) <= MAX_REPLY_BYTES:
            alarm = loop.call_later(progress.ends_at - time.monotonic(), awake.set)
            await awake.wait()
            alarm.cancel()
            awake.clear()
            block = output.read(READ_BYTES)
            if block == b"":
                break
            if block and not given:
                _give(helper, document)
                given = True
            progress = _later(progress, block or b"")
    finally:
        loop.remove_reader(output.fileno())
    return progress.output


def _converse_blocking(helper: "subprocess.Popen[bytes]", document: bytes, progress: HelperProgress) -> bytes:
    output, given = _output_of(helper), False
    poll = select.poll()
    poll.register(output, select.POLLIN)
    while len(progress.output) <= MAX_REPLY_BYTES:
        left_s = max(0.0, progress.ends_at - time.monotonic())
        if not poll.poll(left_s * 1000 + 1):
            progress = _later(progress, b"")
            continue
        block = output.read(READ_BYTES)
        if not block:
            break
        if not given:
            _give(helper, document)
            given = True
        progress = _later(progress, block)
    return progress.output


def _later(progress: HelperProgress, block: bytes) -> HelperProgress:
    """Return the progress after `block`. Raises Unavailable where the time that ran is over and nothing came."""
    now = time.monotonic()
    overdue = None if block else progress.overdue(now)
    if overdue is not None:
        raise overdue
    return progress.after(block, now)


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
        raise Unavailable(
            reply.code,
            reply.why,
            what=reply.what,
            hint=reply.hint,
            retry=reply.retry,
            retry_after_s=reply.retry_after_s,
        )
    return reply  # type: ignore[return-value]  # the request names its answer


def _input_of(helper: "subprocess.Popen[bytes]") -> IO[bytes]:
    if helper.stdin is None:
        raise TypeError("the helper was started without a pipe")
    return helper.stdin


def _output_of(helper: "subprocess.Popen[bytes]") -> IO[bytes]:
    if helper.stdout is None:
        raise TypeError("the helper was started without a pipe")
    return helper.stdout


def _crashed(why: str) -> Unavailable:
    return Unavailable("helper-crashed", why, what=WHAT, hint="please report it if it happens again")
