"""Telling a content that does not change while the agent lives. Where it comes from is said elsewhere."""

from credagent.channels.channel import Arrived, Content


async def tell_once(arrived: Arrived, content: Content) -> None:
    """Tell `content`, then wait until cancelled, without waking up."""
    import asyncio  # noqa: PLC0415  the daemon answers before it loads the loop

    arrived(content)
    await asyncio.Event().wait()
