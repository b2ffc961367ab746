"""One credential set as a worker's environment, byte for byte as in tests/golden."""

import json

import msgspec
import pytest

from credagent.credentials import CredentialSet, Origin, SlotContent
from credagent.secret import Secret
from credagent.worker_environment import handover_variables
from credagent.worker_environment.rendering import HandoverPlan, WorkerView, worker_environment
from tests.unit.worker_environment.rendered import (
    ABSENT,
    CASES,
    CLOSED,
    ENDPOINT,
    ENVIRONMENT,
    FILLED,
    LONG_TERM,
    VARIABLES,
    WITHDRAWN,
    golden,
    held,
)


def shown(view: WorkerView) -> bytes:
    document = {
        "environment": {name: value.reveal() for name, value in view.environment.items()},
        "overwrite": {name: value.reveal() for name, value in view.overwrite.items()},
        "scrub": list(view.scrub),
        "no_proxy": list(view.no_proxy),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


@pytest.mark.parametrize("case", CASES)
def test_a_workers_environment_is_the_golden_one(case: str) -> None:
    credential_set, plan = CASES[case]
    golden(f"{case}.worker.json", shown(worker_environment(credential_set, plan)))


def test_the_configured_region_wins_and_the_machines_own_is_the_last_resort() -> None:
    def region(plan: HandoverPlan, credential_set: CredentialSet = FILLED) -> str | None:
        found = worker_environment(credential_set, plan).environment.get("AWS_REGION")
        return found.reveal() if found else None

    without_region = CredentialSet(generation=1, aws=held(LONG_TERM))
    assert region(HandoverPlan(region="us-west-2", machine_region="eu-north-1")) == "us-west-2"
    assert region(HandoverPlan(machine_region="eu-north-1")) == "eu-central-1"
    assert region(HandoverPlan(machine_region="eu-north-1"), without_region) == "eu-north-1"
    assert region(HandoverPlan(), without_region) is None


def test_with_interception_what_knows_no_endpoint_is_led_to_the_metadata_address_while_something_is_granted() -> None:
    root = "CPL_AWS_EC2_API_ROOT_URL"
    plan = msgspec.structs.replace(ENDPOINT, intercepted=True)
    assert worker_environment(FILLED, plan).environment[root] == Secret("http://169.254.169.254")
    closed = worker_environment(CredentialSet(generation=1, aws=CLOSED), plan).environment
    assert closed[root] == worker_environment(FILLED, ENDPOINT).environment[root] == Secret("http://127.0.0.1:1")


def test_a_required_google_slot_is_redirected_before_it_is_filled() -> None:
    waiting = CredentialSet(generation=1, google=ABSENT)
    plan = HandoverPlan(metadata_host="127.0.0.1:1234", google_required=True)
    assert worker_environment(waiting, plan).environment["GCE_METADATA_HOST"] == Secret("127.0.0.1:1234")


def test_a_closed_google_slot_makes_nobody_believe_that_this_is_google_cloud() -> None:
    found = worker_environment(CredentialSet(generation=1, google=CLOSED), ENVIRONMENT).environment
    assert found["NO_GCE_CHECK"] == Secret("true")
    assert "CPL_MACHINE_IS_GCE" not in found


def test_a_custom_project_names_the_data_where_the_token_names_another() -> None:
    plan = HandoverPlan(metadata_host="127.0.0.1:1234", google_project="billing")
    assert worker_environment(FILLED, plan).environment["GOOGLE_CLOUD_PROJECT"] == Secret("billing")


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_written_or_scrubbed_that_the_list_does_not_name(case: str) -> None:
    """The deny list of custom variables is made of that list: what it misses, a bundle could set."""
    view = worker_environment(*CASES[case])
    touched = {*view.environment, *view.overwrite, *view.scrub} - VARIABLES.values.keys()
    assert touched <= handover_variables.HANDOVER_VARIABLES


@pytest.mark.parametrize("plan", [ENVIRONMENT, ENDPOINT], ids=["environment", "endpoint"])
def test_keys_and_endpoint_are_never_handed_over_together(plan: HandoverPlan) -> None:
    view = worker_environment(FILLED, plan)
    both = {"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    assert len(both & view.environment.keys()) == 1
    assert both - view.environment.keys() <= set(view.scrub)


DEAD = "127.0.0.1:1"
ALONE = HandoverPlan(aws="endpoint")  # `run --once` binds nothing


def alone(**slots: SlotContent) -> dict[str, str]:
    found = worker_environment(CredentialSet(generation=1, **slots), ALONE).environment
    return {name: value.reveal() for name, value in found.items()}


@pytest.mark.parametrize("content", [FILLED.aws, CLOSED, WITHDRAWN])
def test_where_nobody_serves_an_endpoint_the_slot_is_closed_and_no_keys_take_its_place(content: SlotContent) -> None:
    found = alone(aws=content)
    assert found.items() >= handover_variables.AWS_CLOSED.items()
    assert "AWS_ACCESS_KEY_ID" not in found
    assert found["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith(f"http://{DEAD}/")


@pytest.mark.parametrize("content", [FILLED.google, CLOSED, WITHDRAWN])
def test_where_nobody_serves_metadata_google_libraries_ask_nobody(content: SlotContent) -> None:
    found = alone(google=content)
    assert {found["GCE_METADATA_HOST"], found["GCE_METADATA_IP"], found["GCE_METADATA_ROOT"]} == {DEAD}
    assert found["CPL_GCE_CREDENTIALS_URL"].startswith(f"http://{DEAD}/")
    assert found["NO_GCE_CHECK"] == "true"
    assert "CPL_MACHINE_IS_GCE" not in found


@pytest.mark.parametrize(
    ("slot", "origin"),
    [("aws", Origin.AWS_METADATA), ("aws", Origin.CONTAINER), ("google", Origin.GOOGLE_METADATA)],
)
def test_where_nobody_serves_clients_find_the_machines_own_identity_by_themselves(slot: str, origin: Origin) -> None:
    content = msgspec.structs.replace(getattr(FILLED, slot), origin=origin)
    assert alone(**{slot: content}) == {}


def test_a_closed_slot_names_nobody_to_those_clients_that_heed_no_switch() -> None:
    """The object_store family and GDAL ask the address that they are told, or the machine's metadata service."""
    found = worker_environment(CredentialSet(generation=1, aws=CLOSED), ENVIRONMENT).environment
    for name in ("AWS_METADATA_ENDPOINT", "CPL_AWS_EC2_API_ROOT_URL"):
        assert found[name] == Secret(f"http://{DEAD}")
    assert found["AWS_CONTAINER_CREDENTIALS_FULL_URI"].reveal().startswith(f"http://{DEAD}/credagent-holds-no")


@pytest.mark.parametrize("content", [FILLED.aws, CLOSED, WITHDRAWN])
def test_beside_an_endpoint_instance_metadata_is_closed_granted_or_not(content: SlotContent) -> None:
    """Clients that do not know the endpoint, or go on when it refuses, would sign with the machine's role."""
    found = worker_environment(CredentialSet(generation=1, aws=content), ENDPOINT).environment
    closed = {name: Secret(value) for name, value in handover_variables.AWS_METADATA_CLOSED.items()}
    assert found.items() >= closed.items()
    assert found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == Secret(ENDPOINT.endpoint_uri)


def test_beside_an_endpoint_that_hands_out_the_machines_own_role_metadata_is_left_open() -> None:
    own = msgspec.structs.replace(FILLED.aws, origin=Origin.AWS_METADATA)
    found = worker_environment(CredentialSet(generation=1, aws=own), ENDPOINT).environment
    assert found.keys().isdisjoint(handover_variables.AWS_METADATA_CLOSED)


@pytest.mark.parametrize("content", [CLOSED, WITHDRAWN, FILLED.google])
@pytest.mark.parametrize("host", ["127.0.0.1:1234", ""])
def test_a_configured_project_is_written_in_a_closed_slot_too(content: SlotContent, host: str) -> None:
    plan = HandoverPlan(metadata_host=host, google_project="billing")
    found = worker_environment(CredentialSet(generation=1, google=content), plan).environment
    assert found["GOOGLE_CLOUD_PROJECT"] == Secret("billing")


def test_what_is_had_over_loopback_goes_past_every_proxy_and_keys_need_no_exception() -> None:
    assert "127.0.0.1" in worker_environment(CredentialSet(generation=1, aws=FILLED.aws), ENDPOINT).no_proxy
    assert "127.0.0.1" in worker_environment(CredentialSet(generation=1, google=FILLED.google), ENVIRONMENT).no_proxy
    assert worker_environment(CredentialSet(generation=1, aws=FILLED.aws), ENVIRONMENT).no_proxy == ()
    assert worker_environment(CredentialSet(generation=1), ENDPOINT).no_proxy == ()
