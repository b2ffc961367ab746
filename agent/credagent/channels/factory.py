"""Make the pull channels that the configuration names, and read what one holds now."""

from collections import Counter
from collections.abc import Mapping, Sequence

from credagent.channels.environment import EnvironmentChannel
from credagent.channels.file import FileChannel
from credagent.channels.pull_channel import Content, PullChannel
from credagent.channels.systemd_credential import SystemdCredentialChannel
from credagent.config import channel_grammar as configured


def pull_channels(
    channels: Sequence[configured.Channel], environ: Mapping[str, str], *, region: str = ""
) -> list[PullChannel]:
    """Return the pull channels among `channels`, in their order. `region` is the configured one of AWS."""
    made = (_made(channel, name, environ, region) for channel, name in names(channels).items())
    return [channel for channel in made if channel is not None]


def names(channels: Sequence[configured.Channel]) -> dict[configured.Channel, str]:
    """Return the name of each channel, in their order."""
    wanted = list(dict.fromkeys(channels))
    kinds = Counter(channel.kind for channel in wanted)
    return {channel: _name(channel, kinds) for channel in wanted}


def _name(channel: configured.Channel, kinds: Mapping[str, int]) -> str:
    """Return the kind, or the whole text where several are of one kind: what is refused is told by this name."""
    return channel.kind if kinds[channel.kind] == 1 else configured.channel_text(channel)


def _made(channel: configured.Channel, name: str, environ: Mapping[str, str], region: str) -> PullChannel | None:
    match channel:
        case configured.FileChannelSpec():
            return FileChannel(channel.path, name=name)
        case configured.EnvironmentChannelSpec():
            return EnvironmentChannel(channel.name, environ, name=name)
        case configured.StdinChannelSpec():
            return _standard_input()
        case configured.CredentialChannelSpec():
            return SystemdCredentialChannel(channel.name, environ, name=name)
        case configured.SocketChannelSpec():
            return None
        case _:
            return _cloud_channel(channel, name, environ, region)


def _standard_input() -> PullChannel:
    from credagent.channels.stdin import StdinChannel  # noqa: PLC0415  only where it is configured

    return StdinChannel()


def _cloud_channel(channel: configured.Channel, name: str, environ: Mapping[str, str], region: str) -> PullChannel:
    from credagent.channels.polled_channel import PolledChannel  # noqa: PLC0415  only where one is configured

    return PolledChannel(channel, environ, name=name, region=region)


def content_of(channel: PullChannel) -> Content:
    """Return what a channel holds, after waiting for one that a cloud keeps (30 s at most)."""
    from credagent.channels.polled_channel import PolledChannel  # noqa: PLC0415  starts processes: nothing for the boot path

    return channel.fetched() if isinstance(channel, PolledChannel) else channel.present()
