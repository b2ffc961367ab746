"""What a service takes up at its start and at a reload, with its real channels; nothing is asked over a network."""

from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent

KMS = "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/x"
ONE, TWO = "https://one.example/bundle", "https://two.example/bundle"


def service(folder: Path, *channels: str, key: str = "state") -> Agent:
    config = configured(folder, *channels, key=key)
    runtime_folders.prepare(config)
    (folder / "bundle").write_bytes(b"this is no bundle")
    made = Agent(config, {})
    made.resolve()
    return made


def configured(folder: Path, *channels: str, key: str = "state") -> configuration.Config:
    listed = ", ".join(f'"{channel}"' for channel in channels)
    text = f'[agent]\naudience = "lab"\nruntime_dir = "{folder}/run"\nstate_dir = "{folder}/state"\n'
    text += f'[bundle]\nchannels = [{listed}]\nrecipient_keys = ["{key}"]\n'
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return configuration.load(str(path), {})


def test_what_needs_no_waiting_is_looked_at_and_the_rest_is_not(tmp_path: Path) -> None:
    custody = service(tmp_path, f"file:{tmp_path}/bundle", "env", ONE).custody
    assert (set(custody.unlooked), set(custody.refused_now)) == ({"https"}, {"file"})


def test_where_a_key_service_opens_no_channel_was_looked_at(tmp_path: Path) -> None:
    """Else the machine's identity would be handed out before the file beside the agent was opened."""
    custody = service(tmp_path, f"file:{tmp_path}/bundle", "env", key=KMS).custody
    assert set(custody.unlooked) == {"file", "env"}
    assert not custody.refused_now
    for keeper in custody.keepers.values():
        keeper.tried = True
    assert not custody.settled


@pytest.mark.parametrize(
    ("channels", "refused"),
    [
        ((ONE,), {"https"}),
        ((ONE, TWO), {ONE}),
        ((TWO,), set()),
        (("ec2-user-data",), set()),
    ],
    ids=["the same", "the same beside another", "another of its kind", "another"],
)
def test_a_refusal_outlives_a_reload_with_its_channel(
    tmp_path: Path, channels: tuple[str, ...], refused: set[str]
) -> None:
    running = service(tmp_path, ONE)
    running.custody.offer(b"this is no bundle", "https", shared=True)
    running.custody.wait_no_longer()
    running.reconfigure(configured(tmp_path, *channels))
    assert set(running.custody.refused_now) == refused
    assert running.custody.unlooked == {channel.name for channel in running.channels}


def test_what_is_at_hand_is_told_anew_by_a_reload(tmp_path: Path) -> None:
    running = service(tmp_path, f"file:{tmp_path}/bundle")
    assert running.custody.refused_now
    (tmp_path / "bundle").unlink()
    running.reconfigure(running.config)
    assert not running.custody.refused_now
