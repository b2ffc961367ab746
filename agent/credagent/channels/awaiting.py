"""The present contents of all channels, for those who run no event loop: each at once, none behind another."""

from collections.abc import Sequence

from credagent.channels.channel import Content, PullChannel


def contents(channels: Sequence[PullChannel]) -> list[tuple[PullChannel, Content]]:
    """Return what each channel holds, in their order, after waiting for those that a cloud keeps (30 s at most)."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  nothing for the daemon's start

    from credagent.channels.cloud import CloudChannel  # noqa: PLC0415  as above

    with ThreadPoolExecutor(max_workers=max(1, len(channels))) as pool:
        found = pool.map(lambda one: one.fetched() if isinstance(one, CloudChannel) else one.present(), channels)
        return list(zip(channels, found, strict=True))
