"""Forwarding a local identity that is not there, that vanishes, and that comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder import identity_renewal
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud
from tests.integration.forwarder.play import SECRET, Said, address_of, client_of, small, token_on
from tests.integration.forwarder.stage import Stage, within

__all__ = ["cloud"]

SESSION_S = 40
ACCESS_KEY = "__import__('os').environ.get('AWS_ACCESS_KEY_ID', 'none')"


class Laptop(NamedTuple):
    """A person's laptop: a file that a login leaves, and the cloud that knows it."""

    cloud: Cloud
    file: Path
    user: dict[str, str]

    def log_in(self) -> None:
        keys = (f"{name}={self.user[name[4:]]}" for name in ("aws_access_key_id", "aws_secret_access_key"))
        self.file.write_text("\n".join(("[default]", *keys, "")))

    def lose_it(self) -> None:
        self.file.unlink()


@pytest.fixture
def laptop(stage: Stage, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """This process is the laptop; a login that came back is noticed soon."""
    file = stage.folder / "login"
    for name, value in {**cloud.environ, **WITHOUT_MACHINE, "AWS_SHARED_CREDENTIALS_FILE": str(file)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(identity_renewal, "LONGEST_RETRY_S", 3.0)
    return Laptop(cloud, file, cloud.simulator.create_user("ada"))


def test_credentials_that_vanish_take_nothing_away_and_go_on_when_they_are_back(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], laptop: Laptop
) -> None:
    laptop.log_in()
    laptop.cloud.simulator.expire_after("sts", SESSION_S)
    (a,) = small(stage, key, "a")
    with client_of(stage, 1) as client, forward(aws="local", trust="any") as forwarding:

        def on_worker() -> str:
            return str(client.submit(eval, ACCESS_KEY, workers=[address_of(client, "a")], pure=False).result(60))

        def statement() -> str:
            return str(a.ask("status")["slots"]["aws"]["statement"])

        first = on_worker()
        assert first not in ("none", laptop.user["access_key_id"])
        laptop.lose_it()
        within(2 * SESSION_S, lambda: said.about("the cluster keeps what it has until"), "the loss is said")
        within(2 * SESSION_S, lambda: statement() == "unavailable", "the session ends")
        assert (
            on_worker() == first
        )  # what has expired stays, and fails loudly, where nothing would be the machine's role
        assert token_on(client, "a") == SECRET
        assert forwarding.status().state == "forwarding"
        laptop.log_in()
        within(60, lambda: on_worker() != first, "a new session")
        assert statement() == "granted"
        assert len(said.about("the cluster keeps what it has until")) == 1
        assert said.about("your local credentials are back")


def test_without_any_local_identity_the_machines_own_applies_and_that_is_said(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], laptop: Laptop
) -> None:
    (a,) = small(stage, key, "a")
    assert not laptop.file.exists()
    with client_of(stage, 1), forward(aws="local", google="local", environ=None) as forwarding:
        assert [machine.state for machine in forwarding.status().machines] == ["admitted"]
    assert said.about("no local AWS credentials: aws is declined, so the machines' own identity applies")
    assert said.about("no local Google credentials: google is declined, so the machines' own service account applies")
    assert said.about("forwarded to 1 machine (2 processes): nothing: every slot is declined")
    assert {slot["statement"] for slot in a.ask("status")["slots"].values()} == {"declined"}
