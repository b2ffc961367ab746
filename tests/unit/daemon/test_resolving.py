"""What a service takes up at its start and at a reload, with its real channels; nothing is asked over a network."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from credagent import config as configuration
from credagent.bundle.content_key_wrapping import WrapContext
from credagent.bundle.kms_reference import parse_kms_reference
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent
from credagent.slots.credential_resolver import Arrival
from tests.scenario.harness import ALICE, World

KMS = "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/x"
ONE, TWO = "https://one.example/bundle", "https://two.example/bundle"


class HeldElsewhere:
    """The key that `KMS` names, as a sender wraps for it."""

    kind = parse_kms_reference(KMS).kind
    recipient_id = parse_kms_reference(KMS).recipient_id

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        return content_key


def service(folder: Path, *channels: str, key: str = "state", content: bytes = b"this is no bundle") -> Agent:
    config = configured(folder, *channels, key=key)
    runtime_folders.prepare(config)
    (folder / "bundle").write_bytes(content)
    made = Agent(config, {})
    made.resolve()
    return made


def configured(folder: Path, *channels: str, key: str = "state") -> configuration.Config:
    listed = ", ".join(f'"{channel}"' for channel in channels)
    text = f'[agent]\naudience = "lab"\nruntime_dir = "{folder}/run"\nstate_dir = "{folder}/state"\n'
    text += f'[bundle]\nchannels = [{listed}]\nrecipient_keys = ["{key}"]\n'
    text += f'trusted_senders = ["{ALICE.public_key.line}"]\n'
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return configuration.load(str(path), {})


def test_what_needs_no_waiting_is_looked_at_and_the_rest_is_not(tmp_path: Path) -> None:
    resolver = service(tmp_path, f"file:{tmp_path}/bundle", "env", ONE).resolver
    assert (set(resolver.unlooked), set(resolver.refusals.present)) == ({"https"}, {"file"})


def test_what_a_key_service_has_to_open_was_not_looked_at(tmp_path: Path) -> None:
    """Else the machine's identity would be handed out before the file beside the agent was opened."""
    world = World(start=datetime.now(UTC))
    sealed = world.bundle(aws=world.session(), recipients=[HeldElsewhere()])
    world.close()
    agent = service(tmp_path, f"file:{tmp_path}/bundle", "env", key=KMS, content=sealed.encode())
    assert set(agent.resolver.unlooked) == {"file"}
    assert not agent.resolver.refusals.present
    assert agent.resolver.unresolved


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
    running.resolver.offer(Arrival(content=b"this is no bundle", channel="https", shared=True))
    running.resolver.wait_no_longer()
    running.reconfigure(configured(tmp_path, *channels))
    assert set(running.resolver.refusals.present) == refused
    assert running.resolver.unlooked == {channel.name for channel in running.settings.channels}


def test_what_is_at_hand_is_told_anew_by_a_reload(tmp_path: Path) -> None:
    running = service(tmp_path, f"file:{tmp_path}/bundle")
    assert running.resolver.refusals.present
    (tmp_path / "bundle").unlink()
    running.reconfigure(running.config)
    assert not running.resolver.refusals.present
