from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.daemon.config_reread import ONLY_BY_RESTART, reread
from credagent.errors import ConfigurationError

RUN = '[agent]\nruntime_dir = "/run/one"\nstate_dir = "/state/one"\n'


def file(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_what_may_change_changes(tmp_path: Path) -> None:
    running = configuration.load(file(tmp_path, RUN), {})
    config, late = reread(file(tmp_path, RUN + 'audience = "lab"\n[aws]\nrequired = true\n'), {}, running)
    assert (config.agent.audience, config.aws.required, late) == ("lab", True, [])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("agent.runtime_dir", '[agent]\nruntime_dir = "/run/two"\nstate_dir = "/state/one"\n'),
        ("agent.state_dir", '[agent]\nruntime_dir = "/run/one"\nstate_dir = "/state/two"\n'),
        ("endpoint.listen", RUN + '[endpoint]\nlisten = ["127.0.0.1:1234", "[::1]:1234"]\n'),
        ("endpoint.metrics", RUN + '[endpoint]\nmetrics = "127.0.0.1:1234"\n'),
        ("aws.handover", RUN + '[aws]\nhandover = "endpoint"\n'),
        ("google.handover", RUN + '[google]\nhandover = "off"\n'),
    ],
)
def test_what_only_a_restart_can_change_is_named_and_stays(tmp_path: Path, key: str, text: str) -> None:
    running = configuration.load(file(tmp_path, RUN), {})
    config, late = reread(file(tmp_path, text + '[bundle]\nmax_age = "1h"\n'), {}, running)
    assert late == [key]
    assert ONLY_BY_RESTART[key](config) == ONLY_BY_RESTART[key](running)
    assert config.bundle.max_age_s == 3600
    assert (config.bundle.channels, config.workers.env_file) == (running.bundle.channels, running.workers.env_file)


def test_every_value_is_what_the_configuration_reads_back(tmp_path: Path) -> None:
    """The kept values are given as flags: each has to be the text of its key."""
    text = RUN + '[endpoint]\nlisten = ["[::1]:0"]\nmetrics = "127.0.0.1:9"\n[aws]\nhandover = "off"\n'
    running = configuration.load(file(tmp_path, text), {})
    flags = {key: get(running) for key, get in ONLY_BY_RESTART.items()}
    again = configuration.load(None, {}, flags)
    assert {key: get(again) for key, get in ONLY_BY_RESTART.items()} == flags


def test_a_socket_that_is_not_bound_waits_for_a_restart_and_one_that_goes_does_not(tmp_path: Path) -> None:
    running = configuration.load(file(tmp_path, RUN), {})
    _, late = reread(file(tmp_path, RUN + '[bundle]\nchannels = ["socket", "socket:/run/two.sock"]\n'), {}, running)
    assert late == ["bundle.channels"]
    _, late = reread(file(tmp_path, RUN + '[bundle]\nchannels = ["stdin"]\n'), {}, running)
    assert late == []


def test_a_broken_configuration_raises(tmp_path: Path) -> None:
    running = configuration.load(file(tmp_path, RUN), {})
    with pytest.raises(ConfigurationError):
        reread(file(tmp_path, RUN + "[bundle\n"), {}, running)
