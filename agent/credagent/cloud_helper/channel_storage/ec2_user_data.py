"""The `ec2-user-data` channel: the instance's user data. Which part of it is a bundle is said in `bundle_in_user_data`.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

import hashlib
import os

from credagent.cloud_helper.aws import imds_client
from credagent.cloud_helper.aws.imds_client import NOT_FOUND, OK
from credagent.cloud_helper.channel_storage import bundle_in_user_data
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http.metadata_client import MetadataResponse
from credagent.cloud_helper.job_requests import ChannelGet
from credagent.cloud_helper.job_responses import Content
from credagent.cloud_helper.machine_vendor import maker
from credagent.config.channel_grammar import Ec2UserDataChannelSpec

MAX_USER_DATA_BYTES = 64 * 1024  # EC2 allows 16 KiB; those who imitate it allow more


def get(_: Ec2UserDataChannelSpec, request: ChannelGet) -> Content:
    """Return the bundle in the user data, None where there is none. Raises CloudFailure."""
    session = imds_client.open_session(imds_client.place_by(os.environ, maker()))
    return _content(session.get("/latest/user-data", max_bytes=MAX_USER_DATA_BYTES), request)


def _content(answered: MetadataResponse, request: ChannelGet) -> Content:
    if answered.status == NOT_FOUND:
        return Content()
    if answered.status != OK:
        raise imds_client.refusal(answered)
    version = hashlib.sha256(answered.body).hexdigest()
    if version == request.version:
        return Content(version=version, unchanged=True)
    data = bundle_in_user_data.bundle_in(answered.body)
    if data is not None and len(data) > request.max_bytes:
        raise CloudFailure("channel-too-large", f"more than {request.max_bytes} bytes")
    return Content(data=data, version=version)
