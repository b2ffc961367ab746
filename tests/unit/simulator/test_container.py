"""Container credentials of an ECS task and of an EKS pod."""

from pathlib import Path

from botocore.credentials import ContainerProvider

from tests.simulator import Simulator
from tests.simulator.container import POD_URI, RELATIVE_URI
from tests.unit.simulator.web import ask


def test_botocore_gets_a_pods_credentials_with_the_token_from_a_file(sim: Simulator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod-identity-token")
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": sim.addresses()["container"] + POD_URI,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    found = ContainerProvider(environ).load()
    assert found is not None
    assert sim.credential(str(found.get_frozen_credentials().access_key))["id"] == "container-1"


def test_a_pod_without_its_token_is_refused(sim: Simulator) -> None:
    url = sim.addresses()["container"] + POD_URI
    assert ask(url).status == 401
    assert ask(url, headers={"Authorization": "wrong"}).status == 401
    assert sim.credentials() == []


def test_a_tasks_credentials_are_at_its_own_path(sim: Simulator) -> None:
    url = sim.addresses()["container"]
    first = ask(url + RELATIVE_URI).json
    assert first["RoleArn"].endswith("role/dask-node")
    assert ask(url + RELATIVE_URI).json == first
    assert ask(url + "/v2/credentials/other").status == 404
    sim.container(role=None)
    assert ask(url + RELATIVE_URI).status == 404
