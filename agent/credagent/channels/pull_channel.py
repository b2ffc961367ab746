"""What a pull channel is: a place with a present content. What a content means is decided by admission."""

from collections.abc import Callable
from typing import Protocol

from credagent.bundle.envelope import MAX_TEXT_BYTES
from credagent.errors import CredagentError

ENVELOPE_LIMIT_BYTES = MAX_TEXT_BYTES + 1  # the longest envelope and its newline

Content = bytes | CredagentError | None
"""What a channel holds now: bytes, nothing, or why it cannot be read (that refuses the content).

A follower is also told `Unavailable`: the channel was looked at, and nobody knows what it holds.
"""

Arrived = Callable[[Content], None]


class PullChannel(Protocol):
    """A place where sealed bundles are put.

    `name` is the channel's name in status and log. On a `shared` channel an envelope that is sealed to other
    recipients only means absent; elsewhere it is refused.
    """

    name: str
    shared: bool

    @property
    def waits(self) -> bool:
        """Tell whether `present` says nothing about what the channel holds."""
        ...

    def present(self) -> Content:
        """Return the present content without waiting; None too where it can only be had by waiting."""
        ...

    async def follow(self, arrived: Arrived) -> None:
        """Call `arrived` with the content at the start and at each change, until cancelled."""
        ...


async def tell_once(arrived: Arrived, content: Content) -> None:
    """Tell a content that does not change while the agent lives, then wait until cancelled, without waking up."""
    import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

    arrived(content)
    await asyncio.Event().wait()
