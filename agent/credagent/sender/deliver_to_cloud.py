"""Writes sealed bundles to the channels that a cloud keeps, and says how the others are written. Seals nothing.

What is written is sealed already. It travels with the local identity of whoever delivers, by the helper process.
"""

import os
import tempfile
from collections.abc import Mapping

from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import ChannelPut
from credagent.config.channel_grammar import GsChannelSpec, S3ChannelSpec, SsmChannelSpec, Target, channel_text
from credagent.errors import CredagentError, OutputError, Unavailable, UsageError

DEADLINE_S = 60.0  # a profile's credential_process or a login behind a slow proxy, then one request

LIMITS_BYTES: Mapping[str, int] = {
    "aws-ssm": 8192,  # an advanced parameter; EC2 and Google enforce their own limits
    "ec2-user-data": 16_384,
    "gce-attribute": 256 * 1024,
    "env": 128 * 1024 - 256,  # Linux's MAX_ARG_STRLEN, the variable's name included
    "credential": 1024 * 1024,
}
"""What a channel holds at most, where that is not much more than a bundle may have."""

BY_HAND: Mapping[str, str] = {
    "env": "start the agent with the bundle in that variable, for example docker run --env {name}=BUNDLE",
    "stdin": "pipe the bundle into the agent: credagent run < BUNDLE",
    "credential": "name the bundle's file in the agent's unit: LoadCredential={name}:PATH",
    "ec2-user-data": "add the line '# BUNDLE' to the instance's user data (cloud-config or script) before it starts",
    "gce-attribute": "gcloud compute instances add-metadata INSTANCE --metadata-from-file {name}=BUNDLE",
    "https": "put the bundle where that server serves it from",
}
"""Channels that only whoever launches the machine, or owns the server, can write."""


def to_cloud(target: S3ChannelSpec | GsChannelSpec | SsmChannelSpec, text: str) -> str:
    """Write a sealed bundle there with the local identity; return the notice for people, empty where there is none.

    Raises OutputError where it does not fit, Unavailable where it cannot be written.
    """
    demand_room(target, text)
    with tempfile.NamedTemporaryFile("w", prefix="credagent-", encoding="ascii") as file:
        file.write(text)
        file.flush()
        request = ChannelPut(address=channel_text(target), path=os.path.abspath(file.name))
        try:
            return call_blocking(request, deadline_s=DEADLINE_S).notice
        except Unavailable as error:
            what = channel_text(target)
            raise Unavailable(error.code, error.why, what=what, hint=error.hint, retry=error.retry) from error


def demand_room(target: Target, text: str) -> None:
    """Raise OutputError where the bundle is too large for the channel."""
    limit = LIMITS_BYTES.get(target.kind)
    if limit is not None and len(text) > limit:
        why = f"the bundle has {len(text)} bytes, and this channel holds {limit}"
        hint = "seal to an X25519 key (keygen --kem x25519), with fewer recipients or variables, or use s3:// or gs://"
        raise OutputError("too-large", why, what=channel_text(target), hint=hint)


def by_hand(target: Target, text: str) -> CredagentError:
    """Return why `deliver` does not write there, with the way to do it. Raises OutputError where it would not fit."""
    demand_room(target, text)
    hint = BY_HAND[target.kind].format(name=getattr(target, "name", ""))
    whose = "is written by whoever launches the machine" if target.kind != "https" else "is its server's to write"
    why = f"{whose} (the bundle's {len(text)} bytes fit)"
    return UsageError("not-a-target", why, what=channel_text(target), hint=hint)
