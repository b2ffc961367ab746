"""OAuth, impersonation, Cloud Storage and KMS, as Google's own libraries see them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.oauth2.credentials
import google.oauth2.service_account
import pytest
from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
from google.auth import impersonated_credentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import storage

from tests.simulator import Simulator
from tests.unit.simulator.web import Answer, ask

ALICE = "alice@example.com"
READ_ONLY = ["https://www.googleapis.com/auth/devstorage.read_only"]
TARGET = "reader@dask-project.iam.gserviceaccount.com"
KEY = "projects/p/locations/global/keyRings/r/cryptoKeys/k"


def token_of(sim: Simulator, principal: str = ALICE, **more: Any) -> google.oauth2.credentials.Credentials:
    return google.oauth2.credentials.Credentials(sim.issue_google_token(principal, **more)["access_token"])


def client(sim: Simulator, credentials: Any) -> storage.Client:
    return storage.Client(
        project="dask-project", credentials=credentials, client_options={"api_endpoint": sim.addresses()["gcs"]}
    )


def refresh_token(sim: Simulator) -> google.oauth2.credentials.Credentials:
    held = sim.create_refresh_token(ALICE)
    return google.oauth2.credentials.Credentials(
        None,
        refresh_token=held["refresh_token"],
        client_id=held["client_id"],
        client_secret=held["client_secret"],
        token_uri=sim.addresses()["oauth"] + "/token",
    )


def test_a_refresh_token_gives_access_tokens_until_it_is_revoked(sim: Simulator) -> None:
    credentials = refresh_token(sim)
    credentials.refresh(Request())
    assert sim.credential(str(credentials.token))["source"] == "refresh-token-1"
    sim.revoke("refresh-token-1")
    with pytest.raises(RefreshError) as raised:
        credentials.refresh(Request())
    assert "invalid_grant" in str(raised.value)
    assert [call["code"] for call in sim.log("oauth")] == ["ok", "invalid_grant"]


def test_a_service_account_key_gives_access_tokens(sim: Simulator) -> None:
    info = {**sim.create_service_account_key("etl"), "token_uri": sim.addresses()["oauth"] + "/token"}
    credentials = google.oauth2.service_account.Credentials.from_service_account_info(info, scopes=READ_ONLY)
    credentials.refresh(Request())
    assert sim.credential(credentials.token)["principal"] == "etl@dask-project.iam.gserviceaccount.com"
    other = sim.create_service_account_key("other")
    forged = {**info, "private_key": other["private_key"]}
    with pytest.raises(RefreshError):
        google.oauth2.service_account.Credentials.from_service_account_info(forged, scopes=READ_ONLY).refresh(Request())


def test_tokeninfo_names_the_principal_and_revocation_ends_it(sim: Simulator) -> None:
    oauth, token = sim.addresses()["oauth"], sim.issue_google_token(ALICE)["access_token"]
    assert ask(f"{oauth}/tokeninfo?access_token={token}").json["email"] == ALICE
    assert ask(f"{oauth}/revoke?token={token}", "POST").status == 200
    assert ask(f"{oauth}/tokeninfo?access_token={token}").status == 400
    assert token not in json.dumps(sim.log())


def impersonated(sim: Simulator, source: Any) -> Any:
    return impersonated_credentials.Credentials(
        source_credentials=source,
        target_principal=TARGET,
        target_scopes=READ_ONLY,
        lifetime=600,
        iam_endpoint_override=f"{sim.addresses()['google-iam']}/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken",
    )


def test_whoever_may_impersonate_gets_a_token_of_the_target(sim: Simulator) -> None:
    sim.create_service_account("reader")
    sim.allow_impersonation(ALICE, TARGET)
    credentials = impersonated(sim, refresh_token(sim))
    credentials.refresh(Request())
    issued = sim.credential(credentials.token)
    assert (issued["id"], issued["principal"], issued["source"]) == ("impersonation-1", TARGET, "oauth-1")
    assert 590 < issued["expires_at"] - sim.time() <= 600
    sim.forbid_impersonation()
    with pytest.raises(RefreshError):
        credentials.refresh(Request())
    assert sim.log("google-iam")[-1]["code"] == "PERMISSION_DENIED"


def test_objects_are_written_read_listed_and_deleted(sim: Simulator) -> None:
    sim.create_bucket("data", store="gcs")
    bucket = client(sim, token_of(sim)).bucket("data")
    for name in ("a/1", "a/2", "b c/ü+&.txt"):
        bucket.blob(name).upload_from_string(f"hello {name}")
    assert bucket.blob("b c/ü+&.txt").download_as_bytes() == "hello b c/ü+&.txt".encode()
    assert bucket.blob("a/1").download_as_bytes(start=1, end=3) == b"ell"
    assert [blob.name for blob in bucket.list_blobs(page_size=1)] == ["a/1", "a/2", "b c/ü+&.txt"]
    assert [blob.name for blob in bucket.list_blobs(prefix="a/", delimiter="/")] == ["a/1", "a/2"]
    blob = bucket.get_blob("a/1")
    assert blob is not None
    assert blob.size == 9
    bucket.copy_blob(blob, bucket, "copy")
    bucket.blob("a/1").delete()
    assert not bucket.blob("a/1").exists()
    assert bucket.blob("copy").exists()
    assert sim.ids_used("gcs") == ["token-1"]
    with pytest.raises(NotFound):
        bucket.blob("none").download_as_bytes()


def test_a_large_object_is_sent_in_pieces(sim: Simulator, tmp_path: Path) -> None:
    sim.create_bucket("data", store="gcs")
    data = bytes(range(256)) * 4096
    (tmp_path / "large").write_bytes(data)
    blob = client(sim, token_of(sim)).bucket("data").blob("large", chunk_size=256 * 1024)
    blob.upload_from_filename(str(tmp_path / "large"))
    assert blob.download_as_bytes() == data


def test_every_read_is_under_the_id_of_its_token(sim: Simulator) -> None:
    sim.put_object("data", "k", "hello", store="gcs")
    for principal in (ALICE, TARGET):
        client(sim, token_of(sim, principal)).bucket("data").blob("k").download_as_bytes()
    assert sim.ids_used("gcs", "objects.read") == ["token-1", "token-2"]
    assert [call["principal"] for call in sim.log("gcs", "objects.read")] == [ALICE, TARGET]


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_a_token_that_is_over_is_refused_and_named(sim: Simulator, how: str) -> None:
    sim.put_object("data", "k", "hello", store="gcs")
    credentials = token_of(sim, lifetime_s=-1 if how == "expired" else 60)
    if how == "revoked":
        sim.revoke("token-1")
    with pytest.raises((Unauthorized, RefreshError)):
        client(sim, credentials).bucket("data").blob("k").download_as_bytes()
    (call, *_) = sim.log("gcs")
    assert (call["credential"], call["details"]["refused"]) == ("token-1", how)


def test_a_bucket_may_have_its_own_readers(sim: Simulator) -> None:
    sim.create_bucket("private", readers=[TARGET], store="gcs")
    sim.put_object("private", "k", "hello", store="gcs")
    with pytest.raises(Forbidden):
        client(sim, token_of(sim)).bucket("private").blob("k").download_as_bytes()
    assert client(sim, token_of(sim, TARGET)).bucket("private").blob("k").download_as_bytes() == b"hello"


def test_the_xml_interface_serves_the_same_objects(sim: Simulator) -> None:
    sim.put_object("data", "a/k", "hello", store="gcs")
    url = sim.addresses()["gcs"] + "/data"
    bearer = {"Authorization": "Bearer " + sim.issue_google_token(ALICE)["access_token"]}
    assert ask(url + "/a/k", headers=bearer).body == b"hello"
    assert ask(url + "/a/k", headers={**bearer, "Range": "bytes=1-2"}).body == b"el"
    assert b"<Key>a/k</Key>" in ask(url + "?list-type=2&prefix=a/", headers=bearer).body
    assert ask(url + "/a/new", "PUT", bearer, b"new").status == 200
    assert sim.get_object("data", "a/new", store="gcs") == "new"
    assert ask(url + "/a/k").status == 401
    assert ask(url + "/a/none", headers=bearer).status == 404


@pytest.fixture
def kms(sim: Simulator) -> Callable[..., Answer]:
    sim.create_kms_key(KEY, users=[ALICE])

    def ask_kms(verb: str, principal: str = ALICE, **fields: Any) -> Answer:
        bearer = {"Authorization": "Bearer " + sim.issue_google_token(principal)["access_token"]}
        return ask(f"{sim.addresses()['google-kms']}/v1/{KEY}:{verb}", "POST", bearer, fields)

    return ask_kms


def test_kms_opens_what_it_closed_and_only_with_the_same_additional_data(kms: Callable[..., Answer]) -> None:
    import google_crc32c

    plaintext, context = b"content key", base64.b64encode(b"audience").decode()
    closed = kms(
        "encrypt",
        plaintext=base64.b64encode(plaintext).decode(),
        plaintextCrc32c=str(google_crc32c.value(plaintext)),
        additionalAuthenticatedData=context,
    ).json
    assert closed["verifiedPlaintextCrc32c"] is True
    ciphertext = closed["ciphertext"]
    assert int(closed["ciphertextCrc32c"]) == google_crc32c.value(base64.b64decode(ciphertext))
    opened = kms("decrypt", ciphertext=ciphertext, additionalAuthenticatedData=context).json
    assert base64.b64decode(opened["plaintext"]) == plaintext
    assert kms("decrypt", ciphertext=ciphertext).status == 400


def test_kms_refuses_strangers_disabled_keys_and_wrong_checksums(sim: Simulator, kms: Callable[..., Answer]) -> None:
    assert kms("encrypt", principal=TARGET, plaintext="").status == 403
    assert kms("encrypt", plaintext="YQ==", plaintextCrc32c="1").status == 400
    sim.enable_kms_key(KEY, enabled=False)
    assert kms("encrypt", plaintext="YQ==").json["error"]["status"] == "FAILED_PRECONDITION"
