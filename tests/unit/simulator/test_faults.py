"""What can be made to go wrong, and what the log says of it."""

import http.client
from collections.abc import Callable
from typing import Any
from urllib.error import URLError

import pytest

from tests.simulator import Simulator
from tests.unit.simulator.test_sts import refused_code
from tests.unit.simulator.web import ask

Client = Callable[..., Any]
GOOGLE = {"Metadata-Flavor": "Google"}
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"


def test_a_status_comes_in_the_services_own_words_as_often_as_planned(sim: Simulator, client: Client) -> None:
    sim.fault("sts", "GetCallerIdentity", status=400, code="Throttling", message="Rate exceeded", times=2)
    sts = client("sts", sim.create_user("alice"))
    assert sts.get_session_token()
    assert [refused_code(sts.get_caller_identity) for _ in range(2)] == ["Throttling", "Throttling"]
    assert sts.get_caller_identity()
    assert [call["code"] for call in sim.log("sts")] == ["ok", "fault:Throttling", "fault:Throttling", "ok"]


def test_a_fault_stands_until_it_is_cleared(sim: Simulator) -> None:
    url = sim.addresses()["google-metadata"] + TOKEN
    fault = sim.fault("google-metadata", status=503)
    assert [ask(url, headers=GOOGLE).status for _ in range(3)] == [503, 503, 503]
    assert sim.faults()[0]["id"] == fault
    sim.clear_faults(fault)
    assert ask(url, headers=GOOGLE).status == 200


def test_fields_of_a_document_are_replaced_or_removed(sim: Simulator) -> None:
    sim.fault("google-metadata", "token", patch={"expires_in": "soon", "token_type": None})
    answer = ask(sim.addresses()["google-metadata"] + TOKEN, headers=GOOGLE).json
    assert answer["expires_in"] == "soon"
    assert "token_type" not in answer


def test_bodies_are_garbage_or_of_the_tests_making(sim: Simulator) -> None:
    url = sim.addresses()["google-metadata"] + TOKEN
    sim.fault("google-metadata", garbage=True, times=1)
    sim.fault("google-metadata", body="{}", times=1)
    assert b"not what you asked for" in ask(url, headers=GOOGLE).body
    assert ask(url, headers=GOOGLE).json == {}
    assert [call["code"] for call in sim.log("google-metadata")] == ["fault:garbage", "fault:body"]


def test_half_a_document_ends_early(sim: Simulator) -> None:
    sim.fault("google-metadata", truncate=True, times=1)
    with pytest.raises(http.client.IncompleteRead):
        ask(sim.addresses()["google-metadata"] + TOKEN, headers=GOOGLE)


def test_a_dropped_connection_says_nothing(sim: Simulator) -> None:
    sim.fault("google-metadata", drop=True, times=1)
    with pytest.raises((http.client.RemoteDisconnected, URLError)):
        ask(sim.addresses()["google-metadata"] + TOKEN, headers=GOOGLE)


def test_a_hanging_request_is_let_go_when_its_fault_is_cleared(sim: Simulator) -> None:
    sim.fault("google-metadata", hang=True, times=1)
    url = sim.addresses()["google-metadata"] + TOKEN
    with pytest.raises(TimeoutError):
        ask(url, headers=GOOGLE, timeout_s=0.2)
    assert sim.log("google-metadata")[0]["code"] == "fault:hang"
    sim.clear_faults()
    assert ask(url, headers=GOOGLE).status == 200


def test_a_delayed_answer_is_the_real_one(sim: Simulator) -> None:
    url = sim.addresses()["google-metadata"] + TOKEN
    sim.fault("google-metadata", delay_s=1.0, times=1)
    with pytest.raises(TimeoutError):
        ask(url, headers=GOOGLE, timeout_s=0.2)
    sim.fault("google-metadata", delay_s=0.2, times=1)
    assert ask(url, headers=GOOGLE).json["access_token"]


def test_a_misspelt_fault_is_refused(sim: Simulator) -> None:
    with pytest.raises(TypeError):
        sim.fault("sts", hangs=True)
