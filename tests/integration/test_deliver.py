"""The other end of each channel: `credagent deliver` writes where it can, and an agent reads what it wrote."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.bundle.sealing import seal
from tests.integration.agents import Machine, machine, only_message
from tests.integration.clouds import NOWHERE, WITHOUT_MACHINE
from tests.integration.letters import letter
from tests.simulator import Simulator

__all__ = ["machine"]

PARAMETER = "/dask/bundle"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as cloud:
        cloud.create_bucket("cluster")
        cloud.create_bucket("cluster", store="gcs")
        yield cloud


@pytest.fixture
def laptop(simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """The environment of a person who has accounts at both clouds."""
    user = simulator.create_user("ana")
    addresses = simulator.addresses()
    account = tmp_path / "adc.json"
    key = simulator.create_service_account_key("ana")
    account.write_text(json.dumps({**key, "token_uri": addresses["oauth"] + "/token"}))
    return {
        **simulator.environ(),
        **WITHOUT_MACHINE,
        "HTTPS_PROXY": NOWHERE,
        "AWS_ACCESS_KEY_ID": user["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": user["secret_access_key"],
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": addresses["gcs"],
        "GOOGLE_APPLICATION_CREDENTIALS": str(account),
    }


@pytest.fixture
def parameters() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "ssm", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.describe_parameters()  # moto's first answer takes longer than an agent waits
    yield client
    server.stop()


def bundle(machine: Machine, size: int = 0) -> Path:
    path = machine.folder / "sealed"
    path.write_text(machine.sealed(letter(variables={"NUMBER": "1", "PAD": "x" * size})) + "\n")
    return path


def deliver(machine: Machine, path: Path, target: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return machine.run("deliver", str(path), "--to", target, **environ)


@pytest.mark.parametrize("target", ["s3://cluster/folder/bundle", "gs://cluster/folder/bundle"])
def test_what_is_put_into_a_bucket_is_read_from_it(
    machine: Machine, simulator: Simulator, laptop: dict[str, str], target: str
) -> None:
    path = bundle(machine)
    done = deliver(machine, path, target, **laptop)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written to {target} ({len(path.read_text()) - 1} bytes)\n"
    machine.configure(bundle={"channels": [target]})
    overrides = {name: value for name, value in laptop.items() if name.startswith("CLOUDSDK")}
    done = machine.once(**{**simulator.environ(), **overrides, "HTTPS_PROXY": NOWHERE})
    assert done.returncode == 0, done.stderr
    assert "NUMBER=1" in machine.worker_env.read_text()


def test_a_large_bundle_goes_where_there_is_room(
    machine: Machine, simulator: Simulator, laptop: dict[str, str]
) -> None:
    others = [RecipientPrivateKey.generate().public_key for _ in range(60)]
    path = machine.folder / "large"
    path.write_text(seal(letter(), [machine.recipient.public_key, *others], machine.sender))
    assert len(path.read_text()) > 90_000
    assert deliver(machine, path, "s3://cluster/large", **laptop).returncode == 0
    assert simulator.get_object("cluster", "large") == path.read_text()
    done = deliver(machine, path, "aws-ssm:/dask/large", **laptop)
    assert done.returncode == 73
    message = only_message(done)
    assert "this channel holds 8192" in message[0]
    assert "x25519" in message[1]


@pytest.mark.parametrize(("size", "tier"), [(0, "Standard"), (2500, "Advanced")])
def test_a_parameter_gets_the_tier_that_its_size_needs_and_a_person_is_told_of_the_price(
    machine: Machine, laptop: dict[str, str], parameters: Any, size: int, tier: str
) -> None:
    path = bundle(machine, size)
    done = deliver(machine, path, f"aws-ssm:{PARAMETER}", **laptop, AWS_ENDPOINT_URL_SSM=parameters.meta.endpoint_url)
    assert done.returncode == 0, done.stderr
    assert ("charges" in done.stderr) == (tier == "Advanced")
    assert parameters.get_parameter(Name=PARAMETER)["Parameter"]["Value"] == path.read_text().strip()
    assert parameters.describe_parameters()["Parameters"][0].get("Tier", "Standard") == tier


def test_a_file_is_renamed_into_place_whole_and_can_be_read_by_the_agent(machine: Machine) -> None:
    machine.start()
    done = deliver(machine, bundle(machine), f"file:{machine.inbox}")
    assert done.returncode == 0, done.stderr
    machine.until(lambda: machine.value("NUMBER") == "1")
    assert machine.inbox.stat().st_mode & 0o777 == 0o644  # sealed; the agent may be another user


def test_the_running_agents_answer_is_shown(machine: Machine) -> None:
    machine.start()
    path, target = bundle(machine), f"socket:{machine.socket}"
    assert deliver(machine, path, target).stdout == f"admitted by the agent at {machine.socket}\n"
    assert deliver(machine, path, target).stdout == f"unchanged by the agent at {machine.socket}\n"
    path.write_text(seal(letter(), [RecipientPrivateKey.generate().public_key], machine.sender))
    done = deliver(machine, path, target)
    assert (done.returncode, machine.refusals()[-1]) == (65, "not-for-this-machine")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("env:SEALED", "docker run --env SEALED="),
        ("stdin", "credagent run <"),
        ("credential:bundle", "LoadCredential=bundle:"),
        ("ec2-user-data", "cloud-config"),
        ("gce-attribute:bundle", "add-metadata INSTANCE --metadata-from-file bundle="),
        ("https://host/bundle", "server"),
    ],
)
def test_what_only_a_launcher_can_fill_is_explained(machine: Machine, target: str, hint: str) -> None:
    done = deliver(machine, bundle(machine), target)
    assert done.returncode == 64
    assert hint in only_message(done)[1]


def test_a_bundle_that_does_not_fit_into_user_data_is_told_so(machine: Machine) -> None:
    done = deliver(machine, bundle(machine, 16_000), "ec2-user-data")
    assert done.returncode == 73
    assert "this channel holds 16384" in only_message(done)[0]


def test_a_bucket_that_denies_and_one_that_is_not_there_are_told_apart(
    machine: Machine, simulator: Simulator, laptop: dict[str, str]
) -> None:
    path = bundle(machine)
    done = deliver(machine, path, "s3://nowhere/bundle", **laptop)
    assert (done.returncode, "no such bucket" in done.stderr) == (69, True)
    simulator.fault("s3", status=403, code="AccessDenied")
    done = deliver(machine, path, "s3://cluster/bundle", **laptop)
    assert (done.returncode, "denied" in done.stderr) == (69, True)


def test_what_every_agent_would_refuse_is_not_carried_anywhere(machine: Machine, laptop: dict[str, str]) -> None:
    path = machine.folder / "broken"
    path.write_text("hello")
    assert deliver(machine, path, "s3://cluster/bundle", **laptop).returncode == 65
