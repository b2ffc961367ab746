"""Which job reads or writes which channel. The channels' own grammar is `config.channels`."""

from importlib import import_module
from typing import Any

from credagent import files
from credagent.bundle.envelope import MAX_TEXT_BYTES
from credagent.clouds.answers import Content, Stored
from credagent.clouds.failures import CloudFailure
from credagent.clouds.requests import ChannelGet, ChannelPut
from credagent.config import channels as configured
from credagent.errors import ConfigurationError

JOBS = {
    "s3": "channel_s3",
    "gs": "channel_gs",
    "aws-ssm": "channel_ssm",
    "https": "channel_https",
    "ec2-user-data": "channel_user_data",
    "gce-attribute": "channel_attribute",
}
"""Kind of channel: the module whose `get` (and `put`, where one can write from afar) serves it."""


def answer(request: ChannelGet | ChannelPut) -> Content | Stored:
    """Read or write. Raises CloudFailure."""
    try:
        target = configured.parse_channel(request.address)
    except ConfigurationError as exc:
        raise CloudFailure("channel-address") from exc
    module = JOBS.get(target.kind)
    if module is None:
        raise CloudFailure("channel-address")
    job: Any = import_module(f"credagent.clouds.{module}")
    reply: Content | Stored = (
        job.get(target, request)
        if isinstance(request, ChannelGet)
        else job.put(target, request, files.read_bounded(request.path, MAX_TEXT_BYTES) or b"")
    )
    return reply
