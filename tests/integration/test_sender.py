"""The sending side with a real local identity: what is sealed, what is refused, and what people are told."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credagent.bundle import envelope
from credagent.bundle.contents import AwsAssumeRoleGrant, AwsSessionGrant, Bundle, EnvironmentGrant
from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.opening import open_envelope
from credagent.cli.main import main
from credagent.credentials import Slot, Statement
from credagent.errors import Exit, Unavailable
from credagent.forwarder.identity_renewal import IdentityRenewal, Renewal
from credagent.sender.grant_options import GrantOptions
from tests.integration.clouds import WITHOUT_MACHINE, Cloud, cloud
from tests.standin import Running, StandIn

__all__ = ["cloud"]

ROLE = "arn:aws:iam::123456789012:role/dask-node"
Told = pytest.CaptureFixture[str]
Seal = Callable[..., Any]


@pytest.fixture
def laptop(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """This process as a laptop whose cloud is the simulator."""
    for name, value in {**cloud.environ, **WITHOUT_MACHINE, "XDG_STATE_HOME": str(cloud.home / "state")}.items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture
def user(laptop: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A long-term key in the environment."""
    key = laptop.simulator.create_user("ada")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["secret_access_key"])
    return dict(key)


@pytest.fixture
def seal(laptop: Cloud, capsys: Told) -> Seal:
    """Seal by the command and open what it made."""
    recipient, sender = RecipientPrivateKey.generate(), SenderPrivateKey.generate()
    path = laptop.home / "sender.key"
    path.touch(mode=0o600)
    path.write_text(sender.to_text().reveal())

    def run(*options: str, code: int = 0) -> Bundle | None:
        capsys.readouterr()
        words = ["--recipient", recipient.public_key.line, "--sender-key", str(path), "--audience", "lab"]
        assert main(["seal", *words, "--out", str(laptop.home / "bundle"), *options]) == code
        if code:
            assert not (laptop.home / "bundle").exists()
            return None
        return open_envelope(envelope.parse((laptop.home / "bundle").read_text()), [recipient])

    return run


def test_a_long_term_key_is_never_sealed_unasked(user: dict[str, Any], seal: Seal, capsys: Told) -> None:
    bundle = seal()
    grant = bundle.grant(Slot.AWS)
    assert isinstance(grant, AwsSessionGrant)
    assert grant.session_token is not None
    assert grant.access_key_id != user["access_key_id"]
    assert bundle.not_after == grant.expires_at
    told = capsys.readouterr().err
    assert "arn:aws:iam::123456789012:user/ada" in told
    assert user["secret_access_key"] not in told
    assert grant.secret_access_key.reveal() not in told


def test_a_long_term_key_is_sealed_as_it_is_where_that_was_said(user: dict[str, Any], seal: Seal, capsys: Told) -> None:
    bundle = seal("--allow-long-term", "--valid-for", "1h")
    grant = bundle.grant(Slot.AWS)
    assert isinstance(grant, AwsSessionGrant)
    assert (grant.access_key_id, grant.session_token, grant.expires_at) == (user["access_key_id"], None, None)
    assert bundle.not_after - bundle.issued_at == timedelta(hours=1)
    assert "long-term" in capsys.readouterr().err


def test_a_role_is_assumed_from_the_session(user: dict[str, Any], seal: Seal) -> None:
    grant = seal("--assume-role", ROLE, "--duration", "12h").grant(Slot.AWS)
    assert isinstance(grant, AwsAssumeRoleGrant)
    assert grant.session is not None
    assert grant.duration_s == 3600
    assert seal("--aws", "none", "--assume-role", ROLE, "--duration", "12h").grant(Slot.AWS) == AwsAssumeRoleGrant(
        role_arn=ROLE, duration_s=43_200
    )


def test_without_credentials_it_is_69_or_declined_and_said(laptop: Cloud, seal: Seal, capsys: Told) -> None:
    seal(code=Exit.UNAVAILABLE)
    assert "no local credentials" in capsys.readouterr().err
    assert seal("--allow-missing").statement(Slot.AWS) is Statement.DECLINED
    assert "declined, so the machines' own identity applies" in capsys.readouterr().err


def test_a_profile_that_does_not_exist_is_not_missing_but_wrong(laptop: Cloud, seal: Seal, capsys: Told) -> None:
    seal("--aws", "profile:nobody", "--allow-missing", code=Exit.UNAVAILABLE)
    assert "profile" in capsys.readouterr().err


def test_whoami_says_what_would_be_forwarded(user: dict[str, Any], capsys: Told) -> None:
    assert main(["whoami", "--json"]) == 0
    shown = capsys.readouterr().out
    aws = json.loads(shown)["aws"]
    assert aws["principal"] == "arn:aws:iam::123456789012:user/ada"
    assert aws["account"] == "123456789012"
    assert aws["method"] == "env"
    assert datetime.fromisoformat(aws["expires_at"]) > datetime.now(UTC)
    assert user["secret_access_key"] not in shown
    assert main(["whoami"]) == 0
    assert "principal:" in capsys.readouterr().out


def test_whoami_that_is_told_to_look_for_nothing_says_so(laptop: Cloud, capsys: Told) -> None:
    assert main(["whoami", "--aws", "none"]) == 0
    assert "no identity would be forwarded" in capsys.readouterr().out


def test_whoami_without_an_identity_is_69(laptop: Cloud) -> None:
    assert main(["whoami"]) == Exit.UNAVAILABLE


class Wall:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def test_a_supply_keeps_what_it_has_until_it_ends_and_takes_what_comes_back(laptop: Cloud, tmp_path: Path) -> None:
    key = laptop.simulator.create_user("ada")
    files = tmp_path / "credentials"
    environ = {**laptop.environ, **WITHOUT_MACHINE, "AWS_SHARED_CREDENTIALS_FILE": str(files)}
    text = f"[default]\naws_access_key_id={key['access_key_id']}\naws_secret_access_key={key['secret_access_key']}\n"
    files.write_text(text)
    wall = Wall()
    renewal = IdentityRenewal(GrantOptions(audience="lab", duration_s=3600, allow_missing=True), environ, wall)

    async def story() -> None:
        first = (await renewal.first()).identity
        assert first is not None
        assert first.aws is not None
        assert 60 < renewal.due_in_s(wall.now()) < 3600
        assert await renewal.renew() == Renewal()  # not due yet: nobody is asked
        files.unlink()
        wall.ahead = timedelta(minutes=45)
        failed = await renewal.renew()
        assert failed.identity is None  # the cluster has what there is
        assert "keeps what it has until" in failed.notices[0]
        assert 0 < renewal.due_in_s(wall.now()) <= 66
        wall.ahead += timedelta(minutes=2)
        assert await renewal.renew() == Renewal()  # said once
        wall.ahead = timedelta(minutes=61)
        ended = (await renewal.renew()).identity
        assert ended is not None
        assert ended.aws is None
        assert ended.lost == {Slot.AWS}
        files.write_text(text)
        laptop.simulator.skew(600)  # else a new session of an hour has ended too, by the clock that was moved
        renewal.hurry()
        again = await renewal.renew()
        assert again.notices == ("aws: your local credentials are back; forwarding goes on",)
        assert again.identity is not None
        assert again.identity.aws not in (None, first.aws)
        assert again.identity.lost == frozenset()

    asyncio.run(story())


def test_a_supply_that_never_had_any_declines_and_one_that_is_broken_does_not_begin(laptop: Cloud) -> None:
    environ = {**laptop.environ, **WITHOUT_MACHINE}
    wall = Wall()
    absent = IdentityRenewal(GrantOptions(audience="lab", allow_missing=True), environ, wall)
    found = asyncio.run(absent.first())
    assert "declined" in found.notices[0]
    assert found.identity is not None
    assert found.identity.lost == frozenset()
    broken = IdentityRenewal(GrantOptions(audience="lab", aws="profile:nobody", allow_missing=True), environ, wall)
    with pytest.raises(Unavailable):
        asyncio.run(broken.first())


def test_variables_alone_need_no_identity(laptop: Cloud, seal: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_TOKEN", "x")
    assert isinstance(seal("--aws", "none", "--env", "DB_TOKEN").grant(Slot.ENVIRONMENT), EnvironmentGrant)
    assert laptop.simulator.log() == []


# ---- whoami --worker --ask


class Holding(StandIn):
    """An agent that holds what it hands out, and supplies this process."""

    async def status(self) -> Mapping[str, object]:
        aws = {"origin": "bundle", "principal": None, "handover": "environment"}
        google = {"origin": "none", "principal": None, "handover": "metadata"}
        return {"version": 1, "state": "ready", "generation": 1, "slots": {"aws": aws, "google": google}}

    def processes(self, pid: int | None) -> Mapping[str, object]:
        process = {"names": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "changed": [], "proxied": False}
        return {"processes": [{"pid": os.getpid(), "uid": 0, "role": "worker", "generation": 1, "process": process}]}


def test_sts_is_asked_with_what_a_worker_was_given(
    laptop: Cloud, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = laptop.simulator.create_user("ben")
    socket = str(laptop.home / "agent.sock")
    monkeypatch.setenv("CREDAGENT_SOCKET", socket)
    given = {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
    with Running(socket, Holding(**given)):
        assert main(["whoami", "--worker", "--ask"]) == 0
    said = capsys.readouterr().out
    assert "STS: arn:aws:iam::123456789012:user/ben" in said
    assert key["secret_access_key"] not in said
