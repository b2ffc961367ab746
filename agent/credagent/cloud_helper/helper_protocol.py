"""Encodes requests and replies for the pipe between agent and helper; secrets are in clear there and nowhere else."""

from typing import Any

import msgspec
from msgspec import Struct

from credagent.cloud_helper.job_requests import (
    AttestMachine,
    AttestSender,
    AwsAssumeRole,
    AwsLocalIdentity,
    AwsMachineIdentity,
    ChannelGet,
    ChannelPut,
    GoogleAuthorizedUserToken,
    GoogleImpersonate,
    GoogleLocalRefreshToken,
    GoogleLocalToken,
    GoogleMachineToken,
    KmsDecrypt,
    KmsEncrypt,
    RequestFor,
    VerifyAttestations,
)
from credagent.cloud_helper.job_responses import Reply
from credagent.secret import Secret

Request = (
    AwsMachineIdentity
    | AwsAssumeRole
    | AwsLocalIdentity
    | GoogleMachineToken
    | GoogleAuthorizedUserToken
    | GoogleImpersonate
    | GoogleLocalToken
    | GoogleLocalRefreshToken
    | KmsDecrypt
    | KmsEncrypt
    | AttestMachine
    | AttestSender
    | VerifyAttestations
    | ChannelGet
    | ChannelPut
)
"""Everything that may be asked, for decoding."""

LOCAL_REQUESTS = (AwsLocalIdentity, GoogleLocalToken, GoogleLocalRefreshToken, AttestSender)
"""Requests about the user's own identity: these, and only these, see the user's files and variables."""


class HelperJob(Struct, frozen=True, kw_only=True):
    """A request, and how long a helper whose caller is dead may live at most, from when it reads this."""

    request: Request
    lives_s: float


def is_local(request: RequestFor[Any]) -> bool:
    """Tell whether the answer comes from the user's own identity rather than the machine's."""
    return isinstance(request, LOCAL_REQUESTS) or getattr(request, "identity", "machine") == "local"


def encode_job(request: RequestFor[Any], lives_s: float) -> bytes:
    """Return what is written to the helper's stdin."""
    document = {"request": request, "lives_s": lives_s}
    return msgspec.json.encode(document, enc_hook=_revealed)


def decode_job(line: bytes) -> HelperJob:
    """Return what was asked. Raises msgspec.MsgspecError, whose text holds no value."""
    return msgspec.json.decode(line, type=HelperJob, dec_hook=_wrapped)


def encode_reply(reply: Reply) -> bytes:
    """Return what is written to the helper's stdout."""
    return msgspec.json.encode(reply, enc_hook=_revealed)


def decode_reply(document: bytes) -> Reply:
    """Return what was answered. Raises msgspec.MsgspecError, whose text holds no value."""
    reply: Reply = msgspec.json.decode(document, type=Reply, dec_hook=_wrapped)
    return reply


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} does not cross the pipe")


def _wrapped(wanted: type, value: object) -> Secret:
    if wanted is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"{wanted.__name__} does not cross the pipe")
