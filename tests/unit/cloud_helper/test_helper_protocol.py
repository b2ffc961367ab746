import base64
import pickle
from datetime import UTC, datetime

import msgspec
import pytest

from credagent.attestation.identity import AwsIdentity, GoogleIdentity
from credagent.cloud_helper import helper_protocol, job_requests, job_responses
from credagent.credentials import AwsCredentials, GoogleToken, Origin
from credagent.secret import Secret

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SESSION = AwsCredentials(
    access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=NOON, region="eu-west-1"
)
TOKEN = GoogleToken(access_token=Secret("ya29"), expires_at=NOON, scopes=("a",))
CERTIFICATES = job_responses.GoogleCertificates(by_key_id={"k": "pem"}, good_until=NOON)

REQUESTS: tuple[helper_protocol.Request, ...] = (
    job_requests.AwsMachineIdentity(region="eu-west-1", known_role="r"),
    job_requests.AwsAssumeRole(role_arn="arn:aws:iam::1:role/r", tags={"a": "b"}, session=SESSION),
    job_requests.AwsAssumeRole(role_arn="arn:aws:iam::1:role/r"),
    job_requests.AwsLocalIdentity(profile="p", duration_s=900, allow_long_term=True),
    job_requests.GoogleMachineToken(scopes=("a", "b")),
    job_requests.GoogleAuthorizedUserToken(
        client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"), token_uri="https://x"
    ),
    job_requests.GoogleImpersonate(target="a@b", token=TOKEN),
    job_requests.GoogleLocalToken(scopes=("a",)),
    job_requests.GoogleLocalRefreshToken(),
    job_requests.KmsDecrypt(key="aws-kms:x", ciphertext=b"\0\xff", context={"a": "ü"}, associated_data=b"\0"),
    job_requests.KmsEncrypt(key="gcp-kms:x", plaintext_base64=Secret("AA=="), context={}, associated_data=b""),
    job_requests.AttestMachine(binding="b", by_role=True),
    job_requests.VerifyAttestations(claims=(job_requests.AttestationClaim("a", "b"),), google=CERTIFICATES),
    job_requests.ChannelGet(address="s3://b/k", max_bytes=10),
)

REPLIES: tuple[job_responses.Reply, ...] = (
    job_responses.AwsObtained(
        credentials=SESSION,
        origin=Origin.AWS_METADATA,
        principal="arn",
        notices=(job_responses.Notice(code="c", why="w"),),
        skew_s=-1.5,
    ),
    job_responses.GoogleObtained(token=TOKEN, origin=Origin.IMPERSONATION),
    job_responses.GoogleRefreshToken(
        client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"), token_uri="https://x"
    ),
    job_responses.Plaintext(plaintext_base64=Secret("AA==")),
    job_responses.Ciphertext(ciphertext=b"\0"),
    job_responses.Content(data=b"x", version="etag"),
    job_responses.Content(),
    job_responses.AttestationMade(attestation="a", notice="n"),
    job_responses.AttestationsVerified(
        outcomes=(
            job_responses.AttestationOutcome(identity=AwsIdentity(partition="aws", account="1", arn="a")),
            job_responses.AttestationOutcome(identity=GoogleIdentity(email="e")),
            job_responses.AttestationOutcome(code="c", why="w", hint="h", retry=True),
        ),
        google=CERTIFICATES,
    ),
    job_responses.Failed(code="no-role", what="w", why="y", hint="h", retry=False, retry_after_s=2.5),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was_sent(request_: helper_protocol.Request) -> None:
    job = helper_protocol.decode_job(helper_protocol.encode_job(request_, 1.5))
    assert job.request == request_
    assert job.lives_s == 1.5


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_a_reply_arrives_as_it_was_sent(reply: job_responses.Reply) -> None:
    assert helper_protocol.decode_reply(helper_protocol.encode_reply(reply)) == reply


def test_what_is_not_a_secret_of_ours_does_not_cross() -> None:
    with pytest.raises(TypeError):
        helper_protocol.encode_reply(job_responses.Stored(version=object()))  # type: ignore[arg-type]  # the wrong type is what is tested


def test_a_reply_that_cannot_be_read_is_not_quoted(canary: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        helper_protocol.decode_reply(b'{"type":"plaintext","plaintext_base64":["' + canary.encode() + b'"]}')
    assert canary not in str(raised.value)


def test_no_request_or_reply_shows_or_pickles_its_secrets(canary: str) -> None:
    secret = job_responses.Plaintext(plaintext_base64=Secret(base64.b64encode(canary.encode()).decode()))
    assert "***" in repr(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_only_requests_for_the_local_identity_see_the_users_files() -> None:
    assert [type(request).__name__ for request in REQUESTS if helper_protocol.is_local(request)] == [
        "AwsLocalIdentity",
        "GoogleLocalToken",
        "GoogleLocalRefreshToken",
        "KmsEncrypt",
    ]


def test_what_was_obtained_becomes_the_content_of_a_slot() -> None:
    aws = job_responses.AwsObtained(credentials=SESSION, origin=Origin.CONTAINER, principal="arn").held(NOON)
    assert (aws.credentials, aws.origin, aws.principal, aws.obtained_at) == (SESSION, Origin.CONTAINER, "arn", NOON)
    assert aws.expires_at == NOON
    google = job_responses.GoogleObtained(token=TOKEN, origin=Origin.REFRESH_TOKEN, principal="a@b").held(NOON)
    assert (google.credentials, google.origin, google.expires_at) == (TOKEN, Origin.REFRESH_TOKEN, NOON)
