"""Keys held elsewhere: moto's AWS KMS and the simulator's Google KMS, by real SDKs in a real helper process."""

import base64
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from credagent.admission import kms_recipient_key
from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.cloud_helper.job_requests import KmsDecrypt, KmsEncrypt
from credagent.errors import ConfigurationError, Refused, Unavailable
from credagent.secret import Secret
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud

__all__ = ["cloud"]

CONTENT_KEY = bytes(range(32))
SECRET = Secret(base64.b64encode(CONTENT_KEY).decode())
CONTEXT = {"credagent:audience": "dask", "credagent:sender": "ü"}
BINDING = b"credagent key\0\x04dask"
GOOGLE_NAME = "projects/dask-project/locations/global/keyRings/dask/cryptoKeys/bundles"


def closing(key: str, **changed: Any) -> KmsEncrypt:
    """Return the request to close the content key."""
    fields = {"plaintext_base64": SECRET, "context": CONTEXT, "associated_data": BINDING, **changed}
    return KmsEncrypt(key=key, **fields)


def opening(key: str, ciphertext: bytes, **changed: Any) -> KmsDecrypt:
    """Return the request to open it."""
    return KmsDecrypt(key=key, **{"ciphertext": ciphertext, "context": CONTEXT, "associated_data": BINDING, **changed})


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Return the address of moto's AWS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(cloud: Cloud, moto: str) -> tuple[Any, str]:
    """Return an administrator's client, and the address of a new key."""
    cloud.environ["AWS_ENDPOINT_URL_KMS"] = moto
    client = boto3.client(
        "kms", endpoint_url=moto, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    return client, "aws-kms:" + client.create_key()["KeyMetadata"]["Arn"]


def test_what_a_sender_closes_the_machine_opens(cloud: Cloud, aws: tuple[Any, str]) -> None:
    key = cloud.simulator.create_user("ada")
    sender = {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
    closed = cloud.ask(closing(aws[1]), **WITHOUT_MACHINE, **sender)
    assert CONTENT_KEY not in closed.ciphertext
    assert cloud.ask(opening(aws[1], closed.ciphertext)).plaintext_base64 == SECRET
    assert cloud.simulator.log("imds", "credentials")


def test_aws_opens_for_the_same_context_only(cloud: Cloud, aws: tuple[Any, str]) -> None:
    closed = cloud.ask(closing(aws[1], identity="machine"))
    other = {**CONTEXT, "credagent:audience": "another"}
    assert cloud.refused(opening(aws[1], closed.ciphertext, context=other)).code == "not-opened"
    assert cloud.refused(opening(aws[1], closed.ciphertext[:-1] + b"\0")).code == "not-opened"


@pytest.fixture
def denying() -> Iterator[Callable[[str], str]]:
    """Return a function that makes an AWS KMS which answers everything with one error, and returns its address."""
    servers: list[HTTPServer] = []

    def start(code: str) -> str:
        class Denial(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = b'{"__type": "%s", "message": "secret"}' % code.encode()
                self.send_response(400)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
                """Say nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Denial))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("said", "code", "retry"),
    [
        ("AccessDeniedException", "access-denied", False),
        ("DisabledException", "key-disabled", False),
        ("KMSInvalidStateException", "key-disabled", False),
        ("IncorrectKeyException", "not-opened", False),
        ("ThrottlingException", "throttled", True),
        ("KeyUnavailableException", "service-error", True),
    ],
)
def test_an_aws_kms_that_denies_is_told_by_its_reason(
    cloud: Cloud,
    denying: Callable[[str], str],
    said: str,
    code: str,
    retry: bool,  # noqa: FBT001  parametrised
) -> None:
    key = "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/1"
    error = cloud.refused(opening(key, b"x"), AWS_ENDPOINT_URL_KMS=denying(said))
    assert (error.code, error.retry) == (code, retry)
    assert "secret" not in str(error)


def test_a_key_that_aws_does_not_have_is_said_to_be_missing(cloud: Cloud, aws: tuple[Any, str]) -> None:
    missing = aws[1].rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    assert cloud.refused(closing(missing, identity="machine")).code == "key-not-found"


def test_a_machine_without_a_role_opens_nothing(cloud: Cloud, aws: tuple[Any, str]) -> None:
    cloud.simulator.instance(mode="no-role")
    assert cloud.refused(opening(aws[1], b"x")).code == "no-role"


@pytest.fixture
def google(cloud: Cloud) -> str:
    """Return the address of a key in Google's KMS."""
    cloud.simulator.create_kms_key(GOOGLE_NAME)
    return "gcp-kms:" + GOOGLE_NAME


def test_google_opens_what_it_closed(cloud: Cloud, google: str) -> None:
    closed = cloud.ask(closing(google, identity="machine"))
    assert CONTENT_KEY not in closed.ciphertext
    assert cloud.ask(opening(google, closed.ciphertext)).plaintext_base64 == SECRET


def test_google_opens_for_the_same_binding_only(cloud: Cloud, google: str) -> None:
    closed = cloud.ask(closing(google, identity="machine"))
    assert cloud.refused(opening(google, closed.ciphertext, associated_data=b"other")).code == "not-opened"
    assert cloud.refused(opening(google, closed.ciphertext[:-1] + b"\0")).code == "not-opened"


def test_a_key_that_google_has_disabled_is_said_to_be(cloud: Cloud, google: str) -> None:
    closed = cloud.ask(closing(google, identity="machine"))
    cloud.simulator.enable_kms_key(GOOGLE_NAME, enabled=False)
    assert cloud.refused(opening(google, closed.ciphertext)).code == "key-disabled"


def test_a_key_that_this_machine_may_not_use_is_denied(cloud: Cloud) -> None:
    cloud.simulator.create_kms_key(GOOGLE_NAME, users=["somebody@else"])
    assert cloud.refused(opening("gcp-kms:" + GOOGLE_NAME, b"x")).code == "access-denied"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"patch": {"plaintextCrc32c": "1"}}, "malformed-answer"),
        ({"patch": {"plaintextCrc32c": None}}, "malformed-answer"),
        ({"patch": {"plaintext": "AAAA"}}, "malformed-answer"),
        ({"garbage": True}, "malformed-answer"),
        ({"status": 404, "code": "NOT_FOUND"}, "key-not-found"),
        ({"status": 503, "code": "UNAVAILABLE"}, "service-error"),
        ({"drop": True}, "unreachable"),
    ],
    ids=str,
)
def test_a_google_kms_that_fails_is_told_by_its_reason(
    cloud: Cloud, google: str, fault: dict[str, Any], code: str
) -> None:
    closed = cloud.ask(closing(google, identity="machine"))
    cloud.simulator.fault("google-kms", "Decrypt", **fault)
    assert cloud.refused(opening(google, closed.ciphertext)).code == code


@pytest.mark.parametrize(
    "key",
    ["aws-kms:alias/mine", "aws-kms:arn:aws:s3:::x", "gcp-kms:keys/k", "gcp-kms:" + GOOGLE_NAME + "/../x", "vault:x"],
)
def test_an_address_that_names_no_key_is_said_to_be_one(cloud: Cloud, key: str) -> None:
    assert cloud.refused(opening(key, b"x")).code == "key-address"


# ---- the bundle's view of such a key


def context(kind: StanzaKind, key: kms_recipient_key.KmsRecipientKey) -> WrapContext:
    """Return what a stanza is bound to."""
    return WrapContext(kind=kind, recipient_id=key.recipient_id, audience="dask", sender=bytes(32))


def test_the_bundle_opens_a_stanza_by_the_key_service(
    cloud: Cloud, google: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ.items():
        monkeypatch.setenv(name, value)
    key = kms_recipient_key.kms_key(google)
    bound = context(key.kind, key)
    closed = cloud.ask(closing(google, identity="machine", associated_data=bound.info))
    assert key.kind is StanzaKind.GCP_KMS
    assert key.open_stanza(closed.ciphertext, bound) == CONTENT_KEY
    with pytest.raises(Refused) as refused:
        key.open_stanza(b"x" * 60, bound)
    assert refused.value.code == "does-not-open"
    cloud.simulator.enable_kms_key(GOOGLE_NAME, enabled=False)
    with pytest.raises(Unavailable) as unavailable:
        key.open_stanza(closed.ciphertext, bound)
    assert unavailable.value.code == "key-disabled"


def test_what_is_no_reference_is_no_key() -> None:
    with pytest.raises(ConfigurationError):
        kms_recipient_key.kms_key("vault:x")
