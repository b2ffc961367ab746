"""Workers that somebody starts himself, without root: on the machine he sits at, and on machines he reaches by SSH."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.stage import Stage
from tests.deployments import pages
from tests.deployments.conftest import CLOSED, FIRST_LINE, SimulatedCloud
from tests.deployments.person import Person
from tests.deployments.reader import following
from tests.deployments.ssh_machines import Bridge, ssh_machines
from tests.ports import free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("bridge")]  # one network of one address


def test_without_root_the_page_leads_to_the_first_read(person: Person, cloud: SimulatedCloud) -> None:
    port = free_port()
    person.environ["XDG_RUNTIME_DIR"] = str(person.home / "run")
    (person.home / "run").mkdir(mode=0o700)
    person.own(person.home / "run")
    with following(pages.read("without-root"), person, {"8786": str(port)}) as said:
        assert said.splitlines()[-1] == FIRST_LINE
        assert cloud.readers() == ["session-token-1"]
        shown = person.types("credagent status")
        assert shown.returncode == 0
        assert "bundle" in shown.stdout


@pytest.fixture
def network() -> Iterator[Bridge]:
    with Bridge("node-1", "node-2") as found:
        yield found


def test_by_ssh_the_page_leads_to_the_first_read(folder: Path, tmp_path: Path, network: Bridge) -> None:
    admin = free_port()
    everywhere = ("--bind", network.own_address, "--listen", f"admin=127.0.0.1:{admin}")
    with Stage(tmp_path) as stage:
        cloud = SimulatedCloud(stage, *everywhere)
        person = Person(folder, {**cloud.environ, **CLOSED})
        person.has_identity(cloud.user["access_key_id"], cloud.user["secret_access_key"])
        (folder / "sshd").mkdir()
        with (
            ssh_machines(network, person, folder / "sshd", {**cloud.environ, **CLOSED}),
            following(pages.read("ssh-cluster"), person, {}) as said,
        ):
            assert said.splitlines()[-1] == FIRST_LINE
            assert cloud.readers() == ["session-token-1"]
