"""Instance metadata: version 2 and nothing else, one set of credentials until it is nearly over."""

import json
from collections.abc import Iterator

import pytest
from botocore.credentials import InstanceMetadataProvider
from botocore.utils import InstanceMetadataFetcher

from tests.simulator import Simulator
from tests.unit.simulator.web import Answer, ask

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as started:
        yield started


def token(sim: Simulator) -> str:
    return ask(sim.addresses()["imds"] + "/latest/api/token", "PUT", TTL).body.decode()


def get(sim: Simulator, path: str) -> Answer:
    return ask(sim.addresses()["imds"] + path, headers={"X-aws-ec2-metadata-token": token(sim)})


def credentials_id(sim: Simulator) -> str:
    found = get(sim, ROLE_PATH + "dask-node").json
    return str(sim.credential(found["AccessKeyId"])["id"])


def test_botocore_gets_the_credentials_of_the_role(sim: Simulator) -> None:
    fetcher = InstanceMetadataFetcher(base_url=sim.addresses()["imds"] + "/", num_attempts=1, env={})
    found = InstanceMetadataProvider(fetcher).load()
    assert found is not None
    assert sim.credential(found.access_key)["id"] == "imds-1"
    assert [call["operation"] for call in sim.log("imds")] == ["token", "role", "credentials"]


def test_version_one_is_refused(sim: Simulator) -> None:
    assert ask(sim.addresses()["imds"] + ROLE_PATH).status == 401
    assert ask(sim.addresses()["imds"] + ROLE_PATH, headers={"X-aws-ec2-metadata-token": "made-up"}).status == 401


@pytest.mark.parametrize("ttl", [{}, {"X-aws-ec2-metadata-token-ttl-seconds": "0"}])
def test_a_token_needs_a_time_to_live(sim: Simulator, ttl: dict[str, str]) -> None:
    assert ask(sim.addresses()["imds"] + "/latest/api/token", "PUT", ttl).status == 400


def test_a_forwarded_request_gets_no_token(sim: Simulator) -> None:
    forwarded = {**TTL, "X-Forwarded-For": "10.0.0.1"}
    assert ask(sim.addresses()["imds"] + "/latest/api/token", "PUT", forwarded).status == 403


def test_a_token_ends(sim: Simulator, clock: Clock) -> None:
    held = {"X-aws-ec2-metadata-token": token(sim)}
    clock.now += 60
    assert ask(sim.addresses()["imds"] + ROLE_PATH, headers=held).status == 401


def test_the_same_credentials_until_they_have_little_left(sim: Simulator, clock: Clock) -> None:
    sim.expire_after("imds", 3600)
    first = credentials_id(sim)
    clock.now += 3200
    second = credentials_id(sim)
    clock.now += 200
    assert (first, second, credentials_id(sim)) == ("imds-1", "imds-1", "imds-2")


def test_short_lives_are_renewed_at_their_half(sim: Simulator, clock: Clock) -> None:
    sim.expire_after("imds", 20)
    first = credentials_id(sim)
    clock.now += 9
    second = credentials_id(sim)
    clock.now += 2
    assert (first, second, credentials_id(sim)) == ("imds-1", "imds-1", "imds-2")


def test_the_instance_describes_itself(sim: Simulator) -> None:
    sim.instance(user_data="#cloud-config")
    assert get(sim, "/latest/meta-data/placement/region").body == b"eu-central-1"
    assert get(sim, "/latest/meta-data/instance-id").body == b"i-0c7eda1ba5e0f0011"
    assert get(sim, "/latest/user-data").body == b"#cloud-config"
    assert json.loads(get(sim, "/latest/dynamic/instance-identity/document").body)["region"] == "eu-central-1"
    assert get(sim, "/latest/meta-data/none").status == 404


def test_an_instance_without_a_role_has_no_credentials(sim: Simulator) -> None:
    sim.instance(role=None)
    assert get(sim, ROLE_PATH).status == 404
    sim.instance(role="dask-node", mode="no-role")
    assert get(sim, ROLE_PATH).status == 404
    assert get(sim, "/latest/user-data").status == 404


def test_a_disabled_service_answers_403(sim: Simulator) -> None:
    sim.instance(mode="disabled")
    assert ask(sim.addresses()["imds"] + "/latest/api/token", "PUT", TTL).status == 403


def test_beyond_the_hop_limit_no_token_arrives(sim: Simulator) -> None:
    sim.instance(mode="hop-limit")
    with pytest.raises(TimeoutError):
        ask(sim.addresses()["imds"] + "/latest/api/token", "PUT", TTL, timeout_s=0.2)
    assert ask(sim.addresses()["imds"] + ROLE_PATH).status == 401
