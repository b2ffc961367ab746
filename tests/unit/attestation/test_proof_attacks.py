"""What broke in others, against the parts that need no network: each attack is refused, with a code of its own kind."""

import base64
import functools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from credagent.attestation import proof
from credagent.attestation.identity import GoogleIdentity, from_caller_identity
from credagent.attestation.proof import MAX_CHARACTERS, AwsProof, GoogleProof
from credagent.cloud_helper.attestation import google_verification, sts_host
from credagent.cloud_helper.attestation.aws_proof import encoded, query_of
from credagent.cloud_helper.attestation.aws_verification import read_answer
from credagent.cloud_helper.attestation.google_proof import audience_of
from credagent.cloud_helper.http.https_client import HttpsResponse
from credagent.errors import Refused
from tests.simulator.identity_tokens import IdentityTokens, signed

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BINDING = "B" * 43
SOUND = AwsProof(
    region="eu-central-1",
    access_key_id="ASIAABCDEFGHIJKLMNOP",
    signed_at="20261123T115900Z",
    signature="ab" * 32,
    session_token="IQoJb3JpZ2luX2VjEXAMPLE/token+==",
)
ACCOUNT, INSTANCE = "123456789012", "i-0abc1234def567890"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/aws:ec2-instance/{INSTANCE}"
RESULT = {"Arn": ARN, "UserId": f"{ACCOUNT}:aws:ec2-instance:{INSTANCE}", "Account": ACCOUNT}
TOKENS = IdentityTokens()


@functools.cache
def attackers_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def code(action: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(Refused) as raised:
        action(*arguments, **named)
    assert raised.value.hint
    return raised.value.code


def part(**changed: str) -> str:
    """The text of a sound proof with one part replaced by anything."""
    fields = {
        name: getattr(SOUND, name) for name in ("region", "access_key_id", "signed_at", "signature", "session_token")
    }
    return f"{proof.PREFIX}aws:{':'.join({**fields, **changed}.values())}"


def test_a_sound_proof_is_read_as_it_was_written() -> None:
    assert proof.parse(SOUND.text) == SOUND
    assert proof.parse(part(session_token="")).text == part(session_token="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # CVE-2020-16250: headers of the prover's choice. There is no place for one.
        (part(session_token="t\r\nX-Amz-Target: other"), "attestation-malformed"),
        (part(session_token="t%0d%0aHost:%20evil.example"), "attestation-malformed"),
        # CVE-2022-2385: a parameter once more, in another case. There is no place for one.
        (part(session_token="t&action=GetSessionToken"), "attestation-malformed"),
        (part(access_key_id="ASIAABCDEFGHIJKL&Action"), "attestation-malformed"),
        # A host of the prover's choice, by way of the region (Vault, aws-iam-authenticator).
        (part(region="evil.example/"), "attestation-malformed"),
        (part(region="eu-central-1.evil.example"), "attestation-malformed"),
        (part(region="user@evil-1"), "attestation-malformed"),
        (part(region="eu-central-1#"), "attestation-malformed"),
        (part(region="eu-central-1:8443"), "attestation-malformed"),
        # Characters that parsers take for others.
        (part(region="\uff45u-central-1"), "attestation-malformed"),
        (part(region="eu-central-\uff11"), "attestation-malformed"),
        (part(signed_at="\uff120261123T115900Z"), "attestation-malformed"),
        (part(session_token="t\u2028"), "attestation-malformed"),
        (part(session_token="t=x="), "attestation-malformed"),
        (part(signature="AB" * 32), "attestation-malformed"),
        (part(signature="ab" * 32 + "\n"), "attestation-malformed"),
        # A whole signed request, as those products take that check and forward.
        ("https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity", "attestation-not-one"),
        (json.dumps({"iam_http_request_method": "POST"}), "attestation-not-one"),
        ("", "attestation-not-one"),
        ("credagent-attestation:2:aws:x", "attestation-unknown-version"),
        ("credagent-attestation:01:aws:x", "attestation-unknown-version"),
        (f"{proof.PREFIX}azure:x", "attestation-unknown-cloud"),
        (f"{proof.PREFIX}AWS:x", "attestation-malformed"),
        (f"{proof.PREFIX}google:a.b", "attestation-malformed"),
        (f"{proof.PREFIX}google:a.b.c.d.e", "attestation-malformed"),
        (f"{proof.PREFIX}google:a.b+/.c", "attestation-malformed"),
        (part(session_token="A" * MAX_CHARACTERS), "attestation-too-large"),
    ],
)
def test_what_is_no_proof_is_not_read_as_one(text: str, expected: str) -> None:
    assert code(proof.parse, text) == expected


def test_a_request_is_rebuilt_from_fixed_parts_and_nothing_of_a_proof_gets_out_of_its_parameter() -> None:
    rebuilt = encoded(query_of(SOUND))
    assert rebuilt.count("Action=") == 1
    assert "X-Amz-SignedHeaders=host%3Bx-credagent-binding" in rebuilt
    assert "X-Amz-Security-Token=IQoJb3JpZ2luX2VjEXAMPLE%2Ftoken%2B%3D%3D" in rebuilt


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_host_is_what_botocore_says_of_the_region(region: str, host: str) -> None:
    assert sts_host.of_region(region).name == host


@pytest.mark.parametrize("region", ["evil-east-1", "aws-global", "us-east-1-evil-1", "xx-nowhere-99"])
def test_a_region_of_no_partition_is_not_asked(region: str) -> None:
    assert code(sts_host.of_region, region) == "attestation-region"


@pytest.mark.parametrize(
    ("signed_at", "expected"),
    [
        ("20261123T114400Z", "attestation-old"),
        ("20261123T120500Z", "attestation-from-the-future"),
        ("99991231T235959Z", "attestation-from-the-future"),
        ("20261323T990000Z", "attestation-malformed"),
    ],
)
def test_a_proof_is_worth_nothing_before_and_after_its_time(signed_at: str, expected: str) -> None:
    def fresh() -> None:
        found = proof.parse(part(signed_at=signed_at))
        assert isinstance(found, AwsProof)
        proof.demand_fresh(proof.signing_time(found), NOW)

    assert code(fresh) == expected


def answered(
    document: object, *, status: int = 200, media_type: str = "application/json", body: bytes | None = None
) -> HttpsResponse:
    data = json.dumps(document).encode() if body is None else body
    return HttpsResponse(status=status, headers={"Content-Type": media_type}, body=data)


def result(**changed: Any) -> dict[str, Any]:
    return {"GetCallerIdentityResponse": {"GetCallerIdentityResult": {**RESULT, **changed}, "ResponseMetadata": {}}}


XML = b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:root</Arn>"
TWICE = b'{"GetCallerIdentityResponse":{},"GetCallerIdentityResponse":{"GetCallerIdentityResult":{}}}'


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        # CVE-2020-16250: another action's JSON that reflects a forged XML answer, found by a lenient parser.
        (answered({"GetSessionTokenResponse": XML.decode()}), "attestation-answer-malformed"),
        (answered(None, body=XML, media_type="text/xml"), "attestation-answer-not-json"),
        (answered(None, body=XML), "attestation-answer-not-json"),
        (answered(result(), media_type="text/html"), "attestation-answer-not-json"),
        (answered(None, body=TWICE), "attestation-answer-not-json"),
        (answered(None, body=b"[" * 100_000), "attestation-answer-not-json"),
        (answered(None, body=b"\xff\xfe{}"), "attestation-answer-not-json"),
        (answered([result()]), "attestation-answer-not-json"),
        (answered({**result(), "More": 1}), "attestation-answer-malformed"),
        (answered(result(Extra="x")), "attestation-answer-malformed"),
        (answered(result(Arn=[ARN])), "attestation-answer-malformed"),
        (answered(result(Account=123456789012)), "attestation-answer-malformed"),
        (answered({}, status=302), "attestation-redirected"),
        (answered({}, status=404), "attestation-not-answered"),
        (answered({"Error": {"Code": "AccessDenied"}}, status=403), "attestation-not-answered"),
        (answered({"Error": {"Code": "SignatureDoesNotMatch"}}, status=403), "attestation-mismatch"),
        (answered({"Error": {"Code": "ExpiredToken"}}, status=403), "attestation-session-ended"),
        (answered({"Error": {"Code": "InvalidClientTokenId"}}, status=403), "attestation-key-unknown"),
    ],
)
def test_only_the_one_answer_is_an_answer(response: HttpsResponse, expected: str) -> None:
    assert code(read_answer, response, "aws", now=NOW) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Account": "999999999999"}, "attestation-account"),
        ({"Arn": ARN.replace("arn:aws:", "arn:aws-cn:")}, "attestation-partition"),
        ({"UserId": f"{ACCOUNT}:aws:ec2-instance:i-0000000000000000f"}, "attestation-instance"),
        # A role of somebody's account that is only called like the instance's.
        ({"Arn": ARN.replace("aws:ec2-instance", "ec2:instance")}, "attestation-instance"),
        ({"Arn": ARN.replace(INSTANCE, "ana"), "UserId": f"{ACCOUNT}:aws:ec2-instance:ana"}, "attestation-instance"),
        ({"Arn": ARN.replace("assumed-role/", "something/")}, "attestation-answer-malformed"),
        ({"Arn": ARN + "\n"}, "attestation-answer-malformed"),
        ({"Arn": ARN.replace("123456789012", "\uff1123456789012")}, "attestation-answer-malformed"),
    ],
)
def test_an_answer_whose_parts_disagree_says_nothing(changed: Mapping[str, str], expected: str) -> None:
    assert code(from_caller_identity, {**RESULT, **changed}, "aws") == expected


CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": audience_of(BINDING),
    "iat": int(NOW.timestamp()) - 30,
    "exp": int(NOW.timestamp()) + 3570,
    "email": "dask-data@p.iam.gserviceaccount.com",
    "email_verified": True,
    "google": {
        "compute_engine": {"project_id": "p", "zone": "z", "instance_id": "42", "instance_name": "n"},
    },
}


def by_google(claims: Mapping[str, Any] = {}, **header: Any) -> str:
    return TOKENS.sign({**CLAIMS, **claims}, header=header)


def hs256_with_the_public_key() -> str:
    (certificate,) = TOKENS.certificates.values()
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": TOKENS.key_id, "typ": "JWT"}).encode())
    claims = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode())
    content = b".".join(one.rstrip(b"=") for one in (header, claims))
    mac = hmac.HMAC(certificate.encode(), hashes.SHA256())
    mac.update(content)
    return f"{content.decode()}.{base64.urlsafe_b64encode(mac.finalize()).rstrip(b'=').decode()}"


def by_another(**header: Any) -> str:
    return signed({"alg": "RS256", "kid": TOKENS.key_id, "typ": "JWT", **header}, CLAIMS, attackers_key())


def altered() -> str:
    head, _, signature = by_google().split(".")
    claims = {**CLAIMS, "google": {"compute_engine": {**CLAIMS["google"]["compute_engine"], "project_id": "mine"}}}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{signature}"


def twice() -> str:
    """The audience once more: some parsers take the first of two, others the last."""
    head, _, signature = by_google().split(".")
    claims = json.dumps(CLAIMS)[:-1] + f', "aud": "{audience_of(BINDING)}"}}'
    return f"{head}.{base64.urlsafe_b64encode(claims.encode()).rstrip(b'=').decode()}.{signature}"


def attackers_jwk() -> dict[str, str]:
    der = attackers_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return {"kty": "RSA", "n": base64.urlsafe_b64encode(der).decode()}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: by_google(alg="none"), "token-algorithm"),
        (lambda: by_google(alg="nOnE"), "token-algorithm"),
        (hs256_with_the_public_key, "token-algorithm"),
        (lambda: by_google(alg=["RS256"]), "token-algorithm"),
        # CVE-2020-16251: signed with a service account's own key, whose claims are its owner's choice.
        (lambda: by_another(kid="f" * 40), "token-key"),
        (lambda: by_another(kid="../../keys/mine"), "token-key"),
        (by_another, "token-signature"),
        (lambda: by_another(jwk=attackers_jwk()), "token-header"),
        (lambda: by_another(jku="https://evil.example/keys"), "token-header"),
        (lambda: by_google(crit=["exp"]), "token-header"),
        (lambda: by_google(kid=None), "token-header"),
        (altered, "token-signature"),
        (twice, "token-claims"),
        (lambda: by_google({"aud": audience_of("C" * 43)}), "token-audience"),
        (lambda: by_google({"aud": [audience_of(BINDING), "another"]}), "token-audience"),
        (lambda: by_google({"aud": "https://vault.example/v1/auth/gcp"}), "token-audience"),
        (lambda: by_google({"iss": "https://accounts.google.com.evil.example"}), "token-issuer"),
        (lambda: by_google({"iss": "dask-data@p.iam.gserviceaccount.com"}), "token-issuer"),
        (lambda: by_google({"iat": int(NOW.timestamp()) - 1000}), "attestation-old"),
        (lambda: by_google({"iat": int(NOW.timestamp()) - 600, "exp": int(NOW.timestamp()) - 300}), "attestation-old"),
        (lambda: by_google({"iat": int(NOW.timestamp()) + 600}), "attestation-from-the-future"),
        (lambda: by_google({"iat": True}), "token-claims"),
        (lambda: by_google({"iat": 1e308}), "token-claims"),
        (lambda: by_google({"exp": None}), "token-claims"),
        (lambda: by_google({"email_verified": "true"}), "token-claims"),
        (lambda: by_google({"email": None}), "token-claims"),
        (lambda: by_google({"google": {"compute_engine": "p"}}), "token-claims"),
        (lambda: by_google({"google": {"compute_engine": {"project_id": "p"}}}), "token-claims"),
    ],
)
def test_only_google_s_own_token_for_this_binding_is_one(make: Callable[[], str], expected: str) -> None:
    def verify() -> None:
        found = proof.parse(f"{proof.PREFIX}google:{make()}")
        assert isinstance(found, GoogleProof)
        google_verification.verify(found, TOKENS.certificates, BINDING, now=NOW)

    assert code(verify) == expected


def test_a_sound_token_names_the_machine() -> None:
    found = google_verification.verify(GoogleProof(token=by_google()), TOKENS.certificates, BINDING, now=NOW)
    assert isinstance(found, GoogleIdentity)
    assert (found.project, found.instance) == ("p", "42")


def test_a_clock_that_is_a_minute_wrong_changes_nothing() -> None:
    for skew in (timedelta(minutes=-1), timedelta(minutes=1)):
        google_verification.verify(GoogleProof(token=by_google()), TOKENS.certificates, BINDING, now=NOW + skew)
