"""A machine proves its key by its cloud's word: made by one helper, verified by another, over a simulated cloud."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from credagent.attestation.identity import AwsIdentity, GoogleIdentity
from credagent.attestation.identity_pattern import is_trusted
from credagent.attestation.proof import MAX_CHARACTERS
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.cli.main import main
from credagent.cloud_helper.job_requests import AttestationClaim, AttestMachine, AttestSender, VerifyAttestations
from credagent.cloud_helper.job_responses import AttestationOutcome
from tests.integration.clouds import WITHOUT_MACHINE, Cloud
from tests.simulator import Simulator

KEY = RecipientPrivateKey.generate().public_key.line
BINDING = KeyStatement(purpose=Purpose.RECIPIENT, key_line=KEY, audience="lab").binding
ON_AWS = {"NO_GCE_CHECK": "true", "GCE_METADATA_HOST": "", "GCE_METADATA_IP": "", "GCE_METADATA_ROOT": ""}
ON_GOOGLE = {"AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Simulator() as simulator:
        yield Cloud(simulator, tmp_path)


def verified(cloud: Cloud, attestation: str, binding: str = BINDING) -> AttestationOutcome:
    """Return what a sender without any identity of its own learns."""
    request = VerifyAttestations(claims=(AttestationClaim(attestation, binding),))
    (outcome,) = cloud.ask(request, **WITHOUT_MACHINE).outcomes
    return outcome


def test_an_instance_is_known_by_its_identity_role_without_a_profile(cloud: Cloud) -> None:
    cloud.simulator.instance(role=None)
    made = cloud.ask(AttestMachine(binding=BINDING), **ON_AWS)
    assert made.notice == ""
    assert len(made.attestation) < MAX_CHARACTERS
    identity = verified(cloud, made.attestation).identity
    assert isinstance(identity, AwsIdentity)
    assert (identity.account, identity.instance) == ("123456789012", "i-0c7eda1ba5e0f0011")
    assert cloud.simulator.ids_used("sts", "GetCallerIdentity") == ["instance-identity-1"]


def test_where_there_is_no_identity_role_the_machines_role_attests_and_that_is_said(cloud: Cloud) -> None:
    cloud.simulator.instance(identity_role=False)
    made = cloud.ask(AttestMachine(binding=BINDING), **ON_AWS)
    assert "the machine's role attests" in made.notice
    identity = verified(cloud, made.attestation).identity
    assert isinstance(identity, AwsIdentity)
    assert (identity.role, identity.instance) == ("dask-node", "")
    assert "whoever has the role chooses the session's name" in identity.words


def test_a_machine_attests_by_its_role_where_the_sender_asks_for_that(cloud: Cloud) -> None:
    made = cloud.ask(AttestMachine(binding=BINDING, by_role=True), **ON_AWS)
    identity = verified(cloud, made.attestation).identity
    assert isinstance(identity, AwsIdentity)
    assert (identity.role, identity.session) == ("dask-node", "i-0c7eda1ba5e0f0011")


def test_a_google_machine_is_known_by_its_token(cloud: Cloud) -> None:
    made = cloud.ask(AttestMachine(binding=BINDING), **ON_GOOGLE)
    assert verified(cloud, made.attestation).identity == GoogleIdentity(
        email="dask-data@dask-project.iam.gserviceaccount.com",
        project="dask-project",
        zone="europe-west1-b",
        instance="4520031799277581759",
        instance_name="dask-worker-1",
    )


def test_a_token_without_a_machine_says_who_acts_and_no_more(cloud: Cloud) -> None:
    cloud.simulator.google_machine(names_itself=False)
    made = cloud.ask(AttestMachine(binding=BINDING), **ON_GOOGLE)
    assert verified(cloud, made.attestation).identity == GoogleIdentity(
        email="dask-data@dask-project.iam.gserviceaccount.com"
    )


def test_a_sender_with_a_key_of_a_service_account_is_known_as_that_account_and_no_machine(cloud: Cloud) -> None:
    document = cloud.simulator.create_service_account_key("etl")
    path = cloud.home / "etl.json"
    path.write_text(json.dumps({**document, "token_uri": f"{cloud.addresses['oauth']}/token"}), encoding="utf-8")
    environ = {**WITHOUT_MACHINE, "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    binding = KeyStatement(purpose=Purpose.SENDER, key_line=KEY, audience="lab", sequence=7).binding
    made = cloud.ask(AttestSender(binding=binding, by_google=True), **environ)
    assert document["private_key"] not in made.attestation
    etl = GoogleIdentity(email=str(document["client_email"]))
    assert verified(cloud, made.attestation, binding).identity == etl
    later = KeyStatement(purpose=Purpose.SENDER, key_line=KEY, audience="lab", sequence=8).binding
    assert verified(cloud, made.attestation, later).code == "token-audience"
    assert is_trusted(etl, ["google:etl@dask-project.iam.gserviceaccount.com"])


def test_a_sender_that_google_attests_nothing_for_is_told_so(cloud: Cloud) -> None:
    """A person's login: Google signs tokens with a chosen audience for service accounts alone."""
    login = cloud.simulator.create_refresh_token("ana@example.org")
    path = cloud.home / "login.json"
    path.write_text(json.dumps({**login, "token_uri": f"{cloud.addresses['oauth']}/token"}), encoding="utf-8")
    environ = {**WITHOUT_MACHINE, "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    assert cloud.refused(AttestSender(binding=BINDING, by_google=True), **environ).code == "not-attestable"


def test_several_are_verified_at_once_with_certificates_that_are_read_once_and_kept(cloud: Cloud) -> None:
    google = cloud.ask(AttestMachine(binding=BINDING), **ON_GOOGLE).attestation
    aws = cloud.ask(AttestMachine(binding=BINDING), **ON_AWS).attestation
    claims = tuple(AttestationClaim(text, BINDING) for text in (google, aws, google, "nonsense"))
    answer = cloud.ask(VerifyAttestations(claims=claims), **WITHOUT_MACHINE)
    kinds = [type(outcome.identity) for outcome in answer.outcomes]
    assert kinds == [GoogleIdentity, AwsIdentity, GoogleIdentity, type(None)]
    assert answer.outcomes[3].code == "attestation-not-one"
    again = cloud.ask(VerifyAttestations(claims=claims[:1], google=answer.google), **WITHOUT_MACHINE)
    assert again.outcomes[0].identity == answer.outcomes[0].identity
    assert len(cloud.simulator.log("oauth", "Certificates")) == 1


def test_a_machine_of_no_cloud_has_nobody_to_attest_for_it(cloud: Cloud) -> None:
    assert cloud.refused(AttestMachine(binding=BINDING), **WITHOUT_MACHINE).code == "no-identity"


def test_what_keeps_a_machine_from_attesting_is_said_with_its_remedy(cloud: Cloud) -> None:
    cloud.simulator.instance(mode="disabled")
    refused = cloud.refused(AttestMachine(binding=BINDING), **ON_AWS)
    assert refused.code == "metadata-disabled"
    assert "modify-instance-metadata-options" in refused.hint


@pytest.mark.parametrize(
    "other",
    [
        KeyStatement(
            purpose=Purpose.RECIPIENT, key_line=RecipientPrivateKey.generate().public_key.line, audience="lab"
        ),
        KeyStatement(purpose=Purpose.RECIPIENT, key_line=KEY, audience="prod"),
        KeyStatement(purpose=Purpose.SENDER, key_line=KEY, audience="lab"),
        KeyStatement(purpose=Purpose.RECIPIENT, key_line=KEY, audience="lab", sequence=1),
    ],
    ids=["key", "audience", "purpose", "sequence"],
)
def test_what_was_attested_of_one_key_audience_and_purpose_says_nothing_of_another(
    cloud: Cloud, other: KeyStatement
) -> None:
    by_aws = cloud.ask(AttestMachine(binding=BINDING), **ON_AWS).attestation
    by_google = cloud.ask(AttestMachine(binding=BINDING), **ON_GOOGLE).attestation
    claims = tuple(AttestationClaim(text, other.binding) for text in (by_aws, by_google))
    outcomes = cloud.ask(VerifyAttestations(claims=claims), **WITHOUT_MACHINE).outcomes
    assert [outcome.code for outcome in outcomes] == ["attestation-mismatch", "token-audience"]


def test_the_doctor_shows_each_step_and_nothing_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**cloud.environ, **ON_AWS}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--attest"]) == 0
    told = capsys.readouterr().out
    assert "✓ proof by the instance" in told
    assert "i-0c7eda1ba5e0f0011 in account 123456789012" in told
    assert "named arn:aws:sts::123456789012:assumed-role/dask-node/*" in told
    assert told.count("refused: AWS says that the signature is not over this statement (attestation-mismatch)") == 2
    issued = [cloud.simulator.cloud.ledger.get(one["id"]) for one in cloud.simulator.credentials()]
    assert not any(one and (one.secret in told or one.token in told) for one in issued)
    cloud.simulator.instance(mode="disabled")
    assert main(["doctor", "--attest"]) == 1
    assert "modify-instance-metadata-options" in capsys.readouterr().out
