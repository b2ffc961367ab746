"""One credential set as a worker's environment, byte for byte as in tests/golden."""

import json

import pytest

from credagent.credentials import CredentialSet
from credagent.rules import handovers
from credagent.rules.rendering import HandoverPlan, WorkerView, worker_environment
from credagent.secret import Secret
from tests.unit.rules.rendered import (
    ABSENT,
    CASES,
    CLOSED,
    ENDPOINT,
    ENVIRONMENT,
    FILLED,
    LONG_TERM,
    VARIABLES,
    golden,
    held,
)


def shown(view: WorkerView) -> bytes:
    document = {
        "environment": {name: value.reveal() for name, value in view.environment.items()},
        "overwrite": {name: value.reveal() for name, value in view.overwrite.items()},
        "scrub": list(view.scrub),
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
    assert touched <= handovers.HANDOVER_VARIABLES


@pytest.mark.parametrize("plan", [ENVIRONMENT, ENDPOINT], ids=["environment", "endpoint"])
def test_keys_and_endpoint_are_never_handed_over_together(plan: HandoverPlan) -> None:
    view = worker_environment(FILLED, plan)
    both = {"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    assert len(both & view.environment.keys()) == 1
    assert both - view.environment.keys() <= set(view.scrub)


def test_without_anybody_who_serves_an_endpoint_no_keys_take_its_place() -> None:
    assert "AWS_ACCESS_KEY_ID" not in worker_environment(FILLED, HandoverPlan(aws="endpoint")).environment
    closed = CredentialSet(generation=1, aws=CLOSED)
    assert "AWS_EC2_METADATA_DISABLED" in worker_environment(closed, HandoverPlan(aws="endpoint")).environment
