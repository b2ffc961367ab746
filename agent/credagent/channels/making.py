"""Makes channels from the configuration: the one list of which kind is served by which module."""

from collections.abc import Mapping, Sequence

from credagent import configuration_channels as configured
from credagent.channels.channel import PullChannel
from credagent.channels.file import FileChannel


def pull_channels(channels: Sequence[configured.Channel], environ: Mapping[str, str]) -> list[PullChannel]:
    """Return the pull channels among `channels`, in their order."""
    made = (_made(channel, environ) for channel in channels)
    return [channel for channel in made if channel is not None]


def _made(channel: configured.Channel, environ: Mapping[str, str]) -> PullChannel | None:
    match channel:
        case configured.FileChannel():
            return FileChannel(channel.path)
        case configured.SocketChannel():
            return None
        case _:
            raise NotImplementedError
