import base64
import pickle
from datetime import UTC, datetime

import msgspec
import pytest

from credagent.clouds import answers, requests, wire
from credagent.credentials import AwsCredentials, GoogleToken, Origin
from credagent.secret import Secret

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SESSION = AwsCredentials(
    access_key_id="ASIA", secret_access_key=Secret("s"), session_token=Secret("t"), expires_at=NOON, region="eu-west-1"
)
TOKEN = GoogleToken(access_token=Secret("ya29"), expires_at=NOON, scopes=("a",))

REQUESTS: tuple[wire.Request, ...] = (
    requests.AwsMachineIdentity(which="container", region="eu-west-1", ask_principal=False),
    requests.AwsAssumeRole(role_arn="arn:aws:iam::1:role/r", tags={"a": "b"}, session=SESSION),
    requests.AwsAssumeRole(role_arn="arn:aws:iam::1:role/r"),
    requests.AwsCallerIdentity(credentials=SESSION),
    requests.AwsLocalIdentity(profile="p", duration_s=900, allow_long_term=True),
    requests.GoogleMachineToken(scopes=("a", "b")),
    requests.GoogleAuthorizedUserToken(
        client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"), token_uri="https://x"
    ),
    requests.GoogleImpersonate(target="a@b", token=TOKEN),
    requests.GoogleLocalToken(scopes=("a",)),
    requests.GoogleLocalRefreshToken(),
    requests.KmsDecrypt(key="aws-kms:x", ciphertext=b"\0\xff", context={"a": "ü"}, associated_data=b"\0"),
    requests.KmsEncrypt(key="gcp-kms:x", plaintext_base64=Secret("AA=="), context={}, associated_data=b""),
    requests.ChannelGet(address="s3://b/k", max_bytes=10),
)

REPLIES: tuple[answers.Reply, ...] = (
    answers.AwsObtained(
        credentials=SESSION,
        origin=Origin.AWS_METADATA,
        principal="arn",
        notices=(answers.Notice(code="c", why="w"),),
        skew_s=-1.5,
    ),
    answers.GoogleObtained(token=TOKEN, origin=Origin.IMPERSONATION),
    answers.AwsCaller(arn="arn", account="1"),
    answers.GoogleRefreshToken(
        client_id="c", client_secret=Secret("s"), refresh_token=Secret("r"), token_uri="https://x"
    ),
    answers.Plaintext(plaintext_base64=Secret("AA==")),
    answers.Ciphertext(ciphertext=b"\0"),
    answers.Content(data=b"x", version="etag"),
    answers.Content(),
    answers.Failed(code="no-role", what="w", why="y", hint="h", retry=False),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_arrives_as_it_was_sent(request_: wire.Request) -> None:
    errand = wire.decode_errand(wire.encode_errand(request_, 1.5))
    assert errand.request == request_
    assert errand.deadline_s == 1.5


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_a_reply_arrives_as_it_was_sent(reply: answers.Reply) -> None:
    assert wire.decode_reply(wire.encode_reply(reply)) == reply


def test_what_is_not_a_secret_of_ours_does_not_cross() -> None:
    with pytest.raises(TypeError):
        wire.encode_reply(answers.AwsCaller(arn=object(), account="1"))  # type: ignore[arg-type]


def test_a_reply_that_cannot_be_read_is_not_quoted(canary: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        wire.decode_reply(b'{"type":"plaintext","plaintext_base64":["' + canary.encode() + b'"]}')
    assert canary not in str(raised.value)


def test_no_request_or_reply_shows_or_pickles_its_secrets(canary: str) -> None:
    secret = answers.Plaintext(plaintext_base64=Secret(base64.b64encode(canary.encode()).decode()))
    assert "***" in repr(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_only_requests_for_the_local_identity_see_the_users_files() -> None:
    assert [type(request).__name__ for request in REQUESTS if wire.is_local(request)] == [
        "AwsLocalIdentity",
        "GoogleLocalToken",
        "GoogleLocalRefreshToken",
        "KmsEncrypt",
    ]


def test_what_was_obtained_becomes_the_content_of_a_slot() -> None:
    aws = answers.AwsObtained(credentials=SESSION, origin=Origin.CONTAINER, principal="arn").held(NOON)
    assert (aws.credentials, aws.origin, aws.principal, aws.obtained_at) == (SESSION, Origin.CONTAINER, "arn", NOON)
    assert aws.expires_at == NOON
    google = answers.GoogleObtained(token=TOKEN, origin=Origin.REFRESH_TOKEN, principal="a@b").held(NOON)
    assert (google.credentials, google.origin, google.expires_at) == (TOKEN, Origin.REFRESH_TOKEN, NOON)
