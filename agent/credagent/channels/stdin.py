"""The `stdin` channel: one line, read once, in bounded time. Whoever starts the agent pipes the bundle into it.

The line ends with a newline or with the input. The start waits a moment for it; what comes later is taken up by the
running agent, until the deadline. A terminal that nobody types into, or /dev/null, holds nothing.
"""

import os
import select
import stat
import threading
import time

from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Arrived, Content, tell_once
from credagent.errors import Refused

START_WAIT_S = 1.0  # a pipe's writer has had the time that the interpreter took to start; workers wait for this agent
DEADLINE_S = 60.0  # `aws ssm get-parameter … | credagent run` answers in seconds
READ_BYTES = 64 * 1024


class Line:
    """The line, as far as it has come. One for each process: what was read once cannot be read again."""

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`, which stays open."""
        self._descriptor = descriptor
        self._read = bytearray()
        self._until = time.monotonic() + DEADLINE_S
        self._over = False
        self._content: Content = None
        self._patience_s = START_WAIT_S
        self._reading = threading.Lock()  # a reload follows anew before the former follower has noticed its end

    def wait_at_start(self) -> None:
        """Wait a moment, the first time: a reload finds workers that are being served."""
        self.wait(self._patience_s)
        self._patience_s = 0.0

    def wait(self, wait_s: float) -> None:
        """Read what comes within `wait_s`."""
        until = min(time.monotonic() + wait_s, self._until)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        with self._reading:
            while not self._over:
                left_s = max(0.0, until - time.monotonic())
                if not poll.poll(left_s * 1000):
                    return
                self._read_block()
                if not left_s:
                    return  # its time is over; what had come by then is read

    def _read_block(self) -> None:
        """Read what is there: it must not wait."""
        try:
            block = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:  # closed, or a terminal that hung up
            self._end(Refused("stdin-unreadable", os.strerror(error.errno or 0).lower(), what="standard input"))
            return
        self._read += block
        line, newline, _ = bytes(self._read).partition(b"\n")
        if len(line) > ENVELOPE_LIMIT_BYTES:
            self._end(refusal(RefusalCode.TOO_LARGE, f"more than {ENVELOPE_LIMIT_BYTES} bytes on standard input"))
        elif newline or not block:
            self._end(line if line or newline or _may_be_piped(self._descriptor) else None)

    def content(self) -> Content:
        """Return the line; None while it is not complete; why it cannot be used, once its time is over."""
        if not self._over and self._read and time.monotonic() >= self._until:
            hint = "end the line with a newline, or close the pipe"
            self._end(Refused("stdin-unfinished", f"no end within {DEADLINE_S:g} s", what="standard input", hint=hint))
        return self._content

    @property
    def left_s(self) -> float:
        """Return how long there is still something to wait for."""
        return 0.0 if self._over else max(0.0, self._until - time.monotonic())

    def _end(self, content: Content) -> None:
        self._over, self._content = True, content


class StdinChannel:
    """A bundle on standard input. An input that ends without a byte is refused as empty; /dev/null is no input."""

    name = "stdin"
    shared = False

    def __init__(self, line: Line | None = None) -> None:
        """Read the agent's own standard input, unless `line` is given."""
        self._line = line or of_this_process()

    @property
    def waits(self) -> bool:
        """Tell whether the line may still come."""
        return bool(self._line.left_s)

    def present(self) -> Content:
        """Return the line, waiting for it a moment when the agent starts."""
        self._line.wait_at_start()
        return self._line.content()

    async def follow(self, arrived: Arrived) -> None:
        """Tell the line when it is complete, or when its time is over."""
        import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

        while self._line.left_s:
            await asyncio.to_thread(self._line.wait, START_WAIT_S)
        self._line.wait(0)
        await tell_once(arrived, self._line.content())


def of_this_process(made: list[Line] = []) -> Line:  # noqa: B006  one for each process, whoever asks
    """Return the standard input's line, whatever was read of it before (a reload makes its channels anew)."""
    if not made:
        made.append(Line(0))
    return made[0]


def _may_be_piped(descriptor: int) -> bool:
    """Tell a pipe, a socket or a file from a terminal and /dev/null, where nobody meant to send anything."""
    return not stat.S_ISCHR(os.fstat(descriptor).st_mode)
