"""The Google metadata server: what it demands, what it hands out, how it tells of a change."""

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.patience import scaled
from tests.simulator import Simulator
from tests.unit.simulator.web import Answer, ask

GOOGLE = {"Metadata-Flavor": "Google"}
V1 = "/computeMetadata/v1"
ACCOUNT = f"{V1}/instance/service-accounts/default"
EMAIL = "dask-data@dask-project.iam.gserviceaccount.com"

READ_AS_THE_MACHINE = """
import google.auth, google.auth.transport.requests
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
credentials.refresh(google.auth.transport.requests.Request())
print(project, credentials.service_account_email, credentials.token)
"""


def get(sim: Simulator, path: str, **query: str) -> Answer:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return ask(sim.addresses()["google-metadata"] + path + "?" + asked, headers=GOOGLE)


def test_google_auth_finds_the_machines_account(sim: Simulator) -> None:
    found = subprocess.run(
        [sys.executable, "-c", READ_AS_THE_MACHINE],
        env=sim.environ(),
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=True,
    )
    project, email, token = found.stdout.split()
    assert (project, email) == ("dask-project", EMAIL)
    assert sim.credential(token)["details"]["scopes"] == ["https://www.googleapis.com/auth/devstorage.read_only"]


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {**GOOGLE, "X-Forwarded-For": "10.0.0.1"}])
def test_the_header_is_demanded_and_forwarding_refused(sim: Simulator, headers: dict[str, str]) -> None:
    assert ask(sim.addresses()["google-metadata"] + ACCOUNT + "/token", headers=headers).status == 403
    assert sim.credentials() == []


def test_the_root_says_that_this_is_google(sim: Simulator) -> None:
    assert ask(sim.addresses()["google-metadata"] + "/").headers["Metadata-Flavor"] == "Google"


def test_everything_that_clients_ask_for_is_there(sim: Simulator) -> None:
    assert get(sim, f"{V1}/project/project-id").body == b"dask-project"
    assert get(sim, f"{V1}/project/numeric-project-id").body == b"123456789"
    assert get(sim, f"{V1}/universe/universe-domain").body == b"googleapis.com"
    assert get(sim, f"{V1}/instance/zone").body == b"projects/123456789/zones/europe-west1-b"
    assert get(sim, f"{ACCOUNT}/", recursive="true").json["email"] == EMAIL
    assert get(sim, f"{ACCOUNT}/email").body.decode() == EMAIL
    assert EMAIL in get(sim, f"{V1}/instance/service-accounts/").body.decode()
    assert get(sim, f"{V1}/instance/service-accounts/{EMAIL}/token").json["token_type"] == "Bearer"
    assert get(sim, f"{V1}/instance/none").status == 404


def test_the_same_token_until_it_has_little_left(sim: Simulator) -> None:
    first = get(sim, f"{ACCOUNT}/token").json
    assert first["expires_in"] in (3599, 3600)
    assert get(sim, f"{ACCOUNT}/token").json["access_token"] == first["access_token"]
    sim.google_machine(renew_before_s=7200)
    assert get(sim, f"{ACCOUNT}/token").json["access_token"] != first["access_token"]
    sim.rotate_google_machine()
    get(sim, f"{ACCOUNT}/token")
    assert [issued["id"] for issued in sim.credentials()] == [f"google-metadata-{n}" for n in (1, 2, 3)]


def test_a_machine_without_an_account_has_no_token(sim: Simulator) -> None:
    sim.google_machine(mode="no-account")
    assert get(sim, f"{ACCOUNT}/token").status == 404
    assert get(sim, f"{V1}/project/project-id").status == 200


def test_whoever_waits_for_an_attribute_hears_of_its_change(sim: Simulator) -> None:
    sim.set_attribute("sealed", "first")
    path = f"{V1}/instance/attributes/sealed"
    etag = get(sim, path).headers["ETag"]
    heard: list[Any] = []

    def wait() -> None:
        heard.append(get(sim, path, wait_for_change="true", last_etag=etag, timeout_sec="4"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.1)
    assert not heard
    sim.set_attribute("sealed", "second")
    waiting.join(scaled(10))
    assert heard[0].body == b"second"


def test_a_wait_ends_with_its_timeout_and_the_old_value(sim: Simulator) -> None:
    sim.set_attribute("sealed", "first")
    assert get(sim, f"{V1}/instance/attributes/sealed", wait_for_change="true", timeout_sec="0.1").body == b"first"


def test_a_value_that_changed_meanwhile_is_not_waited_for(sim: Simulator) -> None:
    sim.set_attribute("sealed", "first")
    path = f"{V1}/instance/attributes/sealed"
    assert get(sim, path, wait_for_change="true", last_etag="0123", timeout_sec="4").body == b"first"
