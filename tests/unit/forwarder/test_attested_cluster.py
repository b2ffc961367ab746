"""A hostile scheduler, thieves and strangers before a forwarder that goes by attestations: only mine are sealed to."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import auth

from credagent.attestation.policy import AttestPolicy
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.clock import SystemClock
from credagent.cloud_helper.attestation import aws_proof
from credagent.credentials import AwsCredentials, Slot, Statement
from credagent.forwarder import loop
from credagent.secret import Secret
from tests.patience import scaled
from tests.simulator import Simulator
from tests.unit.forwarder.fake_cluster import FakeCluster, FakeMachine

MINE, FOREIGN = "123456789012", "999999999999"


class Account:
    """A simulated AWS, and proofs as machines of its accounts make them."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, self.environ = simulator, simulator.environ(aws_machine=False, google_machine=False)

    def attested(self, instance: str, account: str = MINE, audience: str = "lab") -> FakeMachine:
        """A machine with a key of its own that `instance` of `account` vouches for."""
        machine = FakeMachine(audience=audience)
        machine.claims["attestation"] = self.proof(machine, instance, account)
        return machine

    def proof(self, machine: FakeMachine, instance: str, account: str = MINE, audience: str = "lab") -> str:
        cloud = self.simulator.cloud
        issued = cloud.ledger.issue_aws(
            "instance-identity",
            f"arn:aws:sts::{account}:assumed-role/aws:ec2-instance/{instance}",
            now=cloud.now(),
            lifetime_s=3600,
            user_id=f"{account}:aws:ec2-instance:{instance}",
        )
        line = machine.key.public_key.line
        statement = KeyStatement(purpose=Purpose.RECIPIENT, key_line=line, audience=audience)
        credentials = AwsCredentials(
            access_key_id=issued.key_id,
            secret_access_key=Secret(issued.secret),
            session_token=Secret(issued.token),
            region="eu-central-1",
        )
        return aws_proof.signed(credentials, statement.binding).text


def played(folder: Path, story: Callable[[Account, FakeCluster, Any], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        with Simulator() as simulator:
            account = Account(simulator)
            async with FakeCluster({}).running() as cluster:
                environ = {"XDG_STATE_HOME": str(folder), "PATH": "/usr/bin:/bin", **account.environ}

                def forwarded(**more: Any) -> Any:
                    policy = AttestPolicy(aws_accounts=(MINE,))
                    return cluster.forwarded(folder, trust="attested", attest=policy, environ=environ, **more)

                await story(account, cluster, forwarded)

    asyncio.run(run())


def codes(forwarder: Any, cluster: FakeCluster) -> dict[str, str]:
    known = forwarder.reconciler.machines.machines.values()
    by_key = {machine.report.recipient: machine.code for machine in known}
    return {address: by_key.get(one.key.public_key.line, "") for address, one in cluster.machines.items()}


def test_thieves_strangers_and_forgers_get_nothing_and_mine_get_what_is_theirs(tmp_path: Path) -> None:
    async def story(account: Account, cluster: FakeCluster, forwarded: Any) -> None:
        mine = account.attested("i-0aaaaaaaaaaaaaaa1")
        stolen, altered, other_audience = FakeMachine(), FakeMachine(), FakeMachine(audience="prod")
        text = str(mine.claims["attestation"])
        stolen.claims["attestation"] = text
        altered.claims["attestation"] = account.proof(altered, "i-0aaaaaaaaaaaaaaa2").replace(":eu-", ":us-", 1)
        other_audience.claims["attestation"] = account.proof(other_audience, "i-0aaaaaaaaaaaaaaa3", audience="lab")
        cluster.machines = {
            "tcp://10.0.0.1:1": mine,
            "tcp://10.0.0.2:1": account.attested("i-0fffffffffffffff1", FOREIGN),
            "tcp://10.0.0.3:1": stolen,
            "tcp://10.0.0.4:1": altered,
            "tcp://10.0.0.5:1": other_audience,
            "tcp://10.0.0.6:1": FakeMachine(),
        }
        async with forwarded() as forwarder:
            assert list(codes(forwarder, cluster).values()) == [
                *("", "other-account", "attestation-mismatch", "attestation-mismatch"),
                *("attestation-mismatch", "not-attested"),
            ]
            (ground,) = cluster.newest["credagent-settings"]["settings"]["grounds"].values()
            assert ground.endswith("belongs to i-0aaaaaaaaaaaaaaa1 in account 123456789012")
        assert mine.opened().audience == "lab"
        assert [one.texts for one in list(cluster.machines.values())[1:]] == [[]] * 5

    played(tmp_path, story)


def test_an_attestation_that_was_recorded_is_worth_nothing_after_its_time_nor_for_a_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(account: Account, cluster: FakeCluster, forwarded: Any) -> None:
        earlier = datetime.now(UTC) - timedelta(minutes=16)
        with monkeypatch.context() as recorded:
            recorded.setattr(auth, "get_current_datetime", lambda **_kind: earlier.replace(tzinfo=None))
            late = account.attested("i-0aaaaaaaaaaaaaaa1")
        renewed = FakeMachine(claims=dict(account.attested("i-0aaaaaaaaaaaaaaa2").claims))
        cluster.machines = {"tcp://10.0.0.1:1": late, "tcp://10.0.0.2:1": renewed}
        async with forwarded() as forwarder:
            assert list(codes(forwarder, cluster).values()) == ["attestation-old", "attestation-mismatch"]
        assert late.texts == renewed.texts == []
        assert [call["operation"] for call in account.simulator.log("sts")] == ["GetCallerIdentity"]

    played(tmp_path, story)


class LateClock(SystemClock):
    """A wall clock that a test sets ahead."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Told(list[str]):
    """What was said; `lapsed` is set when that was that a machine is not attested."""

    def __init__(self) -> None:
        super().__init__()
        self.lapsed = asyncio.Event()

    def append(self, text: str) -> None:
        super().append(text)
        if "(not-attested)" in text:
            self.lapsed.set()


def test_what_was_granted_is_taken_back_from_a_machine_of_which_the_cloud_says_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 0.2)

    async def story(account: Account, cluster: FakeCluster, forwarded: Any) -> None:
        mine, foreign = account.attested("i-0aaaaaaaaaaaaaaa1"), account.attested("i-0fffffffffffffff1", FOREIGN)
        cluster.machines = {"tcp://10.0.0.1:1": mine, "tcp://10.0.0.2:1": foreign}
        clock, told = LateClock(), Told()
        async with forwarded(clock=clock, said=told) as forwarder, asyncio.timeout(scaled(30)):
            assert mine.opened().statement(Slot.ENVIRONMENT) is Statement.GRANTED
            mine.delivered.clear()
            clock.ahead = timedelta(minutes=16)
            await told.lapsed.wait()
            forwarder.withdraw()
            await mine.delivered.wait()
        assert mine.opened().statement(Slot.ENVIRONMENT) is Statement.WITHDRAWN
        assert mine.opened().grants == ()
        assert len(mine.texts) == 2
        assert foreign.texts == []

    played(tmp_path, story)


def test_a_scheduler_that_swaps_attestations_keeps_two_machines_from_being_sent_to_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 0.2)

    async def story(account: Account, cluster: FakeCluster, forwarded: Any) -> None:
        one, two = account.attested("i-0aaaaaaaaaaaaaaa1"), account.attested("i-0aaaaaaaaaaaaaaa2")
        honest = [machine.claims["attestation"] for machine in (one, two)]
        one.claims["attestation"], two.claims["attestation"] = reversed(honest)
        cluster.machines = {"tcp://10.0.0.1:1": one, "tcp://10.0.0.2:1": two}
        async with forwarded() as forwarder:
            assert set(codes(forwarder, cluster).values()) == {"attestation-mismatch"}
            assert one.texts == two.texts == []
            one.claims["attestation"], two.claims["attestation"] = honest
            async with asyncio.timeout(scaled(30)):
                await asyncio.gather(one.delivered.wait(), two.delivered.wait())
            # Both keys are known now. What is announced for a key of the scheduler's own is still of nobody.
            three = FakeMachine(claims={"attestation": honest[0]})
            cluster.machines["tcp://10.0.0.3:1"] = three
            four = account.attested("i-0aaaaaaaaaaaaaaa4")
            cluster.machines["tcp://10.0.0.4:1"] = four
            async with asyncio.timeout(scaled(30)):
                await four.delivered.wait()  # a late one, of mine
            assert three.texts == []

    played(tmp_path, story)
