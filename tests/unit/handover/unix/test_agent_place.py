"""Where a client looks for the agent without reading the configuration is where the configuration says that it is."""

import os
from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.config import value_origins
from credagent.errors import PermissionRefused
from credagent.handover.unix import agent_place
from credagent.handover.unix.agent_place import known_places


def test_it_looks_at_the_agents_own_configuration() -> None:
    """It has the names of its own, since the room that has them takes long to load."""
    assert (agent_place.SOCKET_NAME, agent_place.SOCKET_VARIABLE) == (
        configuration.SOCKET_NAME,
        configuration.SOCKET_VARIABLE,
    )
    key = value_origins.VARIABLES[agent_place.RUNTIME_DIR_VARIABLE]
    assert key == f"agent.{agent_place.RUNTIME_DIR_KEY.decode()}"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"CREDAGENT_SOCKET": "/mounted/agent.sock"},
        {"CREDAGENT_AGENT_RUNTIME_DIR": "/srv/agent/"},
        {"CREDAGENT_AGENT_RUNTIME_DIR": "/srv/agent", "CREDAGENT_SOCKET": "/mounted/agent.sock"},
    ],
)
def test_the_places_are_those_of_the_whole_configuration(tmp_path: Path, more: dict[str, str]) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[agent]\naudience = "a"\n')
    file.chmod(0o644)
    environ = {"HOME": str(tmp_path), **more}
    config = configuration.load(str(file), environ)
    assert tuple(known_places(str(file), environ)) == configuration.agent_sockets(config, environ, os.geteuid())


def test_what_only_the_whole_configuration_can_say_is_left_to_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[agent]\nruntime_dir = "/srv/agent"\n')
    assert known_places(str(file), {}) == ()
    assert known_places(str(tmp_path / "missing.toml"), {}) == ()
    assert known_places(str(tmp_path), {}) == ()  # a folder, which cannot be read
    assert known_places(None, {"CREDAGENT_AGENT_RUNTIME_DIR": "relative"}) == ()


def test_a_folder_that_a_stranger_could_put_in_place_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(PermissionRefused):
        known_places(None, {"CREDAGENT_AGENT_RUNTIME_DIR": f"{open_to_all}/run"})
