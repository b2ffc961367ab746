"""Which job reads or writes which channel. The channels' own grammar is `config.channel_grammar`."""

from importlib import import_module
from typing import Any

from credagent.bundle.envelope import MAX_TEXT_BYTES
from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import ChannelGet, ChannelPut
from credagent.cloud_helper.job_responses import Content, Stored
from credagent.config import channel_grammar as configured
from credagent.errors import ConfigurationError
from credagent.system.file_reading import read_bounded

JOBS = {
    "s3": "channel_storage.s3_object",
    "gs": "channel_storage.gcs_object",
    "aws-ssm": "channel_storage.ssm_parameter",
    "https": "channel_storage.https_address",
    "ec2-user-data": "channel_storage.ec2_user_data",
    "gce-attribute": "channel_storage.gce_attribute",
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
    with progress.preparing():
        job: Any = import_module(f"credagent.cloud_helper.{module}")
    reply: Content | Stored = (
        job.get(target, request)
        if isinstance(request, ChannelGet)
        else job.put(target, request, read_bounded(request.path, MAX_TEXT_BYTES) or b"")
    )
    return reply
