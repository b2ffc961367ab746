"""A machine that knows no key of a sender, and trusts a person by what the person's cloud says."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.forwarder import loop
from tests.integration.forwarder.play import SECRET, client_of, token_on, write_key
from tests.integration.forwarder.stage import BIN, Machine, Stage, run, within
from tests.simulator import Simulator

SCIENCE = "arn:aws:sts::123456789012:assumed-role/data-science/*"


@pytest.fixture
def cloud(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.setattr(loop, "RECONCILE_S", 1.0)
    with Simulator() as simulator:
        simulator.create_role("data-science")
        for name, value in simulator.environ(aws_machine=False, google_machine=False).items():
            monkeypatch.setenv(name, value)
            stage.environ[name] = value
        yield simulator


def log_in(monkeypatch: pytest.MonkeyPatch, cloud: Simulator, role: str, name: str) -> None:
    session = cloud.issue_session(role, name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["secret_access_key"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["session_token"])


def configure(machine: Machine, *identities: str) -> None:
    path = machine.folder / "config.toml"
    text = path.read_text()
    named = ", ".join(f'"{one}"' for one in identities)
    text = re.sub(r"\ntrusted_identities = .*", "", text)
    path.write_text(text.replace("trusted_senders = []", f"trusted_senders = []\ntrusted_identities = [{named}]"))


def reload(machine: Machine, *identities: str) -> None:
    configure(machine, *identities)
    assert machine.agent is not None
    machine.agent.send_signal(signal.SIGHUP)


def cluster_that_trusts_science(stage: Stage) -> Machine:
    """Start a scheduler and a worker on a machine that trusts whoever AWS says has the role."""
    machine = stage.machine("a")
    reload(machine, SCIENCE)
    within(20, lambda: machine.ask("identity").get("trusts_identities"), "the reload")
    stage.start_scheduler(machine)
    stage.start_worker(machine, "a", "--no-nanny")
    return machine


def test_a_person_forwards_from_two_laptops_until_the_role_is_not_listed_any_more(
    stage: Stage, forward: Callable[..., Any], cloud: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write_key(stage.folder / "sender.key"), write_key(stage.folder / "second.key")
    machine = cluster_that_trusts_science(stage)
    log_in(monkeypatch, cloud, "data-science", "ana")
    with client_of(stage, 1) as client:
        with forward(aws="local", trust="first-use"):
            within(30, lambda: token_on(client, "a") == SECRET, "the token")
            assert machine.ask("status")["bundle"]["sender"] == first.key_id
        with forward(
            aws="local", trust="first-use", sender_key=stage.folder / "second.key", environ={"DB_TOKEN": "two"}
        ):
            within(30, lambda: token_on(client, "a") == "two", "the second laptop's")
            assert machine.ask("status")["bundle"]["sender"] == second.key_id
        log_in(monkeypatch, cloud, "dask-node", "mallory")
        stranger = write_key(stage.folder / "third.key")
        with forward(aws="local", trust="first-use", sender_key=stage.folder / "third.key") as forwarding:
            assert {one.code for one in forwarding.status().machines} == {"untrusted-sender"}
        status = machine.ask("status")["bundle"]
        assert status["sender"] == second.key_id  # what was held is unchanged
        assert stranger.key_id not in str(status["sender"])
        reload(machine, "arn:aws:iam::123456789012:user/ana")
        within(20, lambda: machine.ask("status")["bundle"]["sender"] is None, "the reload")
        assert SECRET not in str(machine.ask("set"))
        log_in(monkeypatch, cloud, "data-science", "ana")
        with forward(aws="local", trust="first-use") as forwarding:
            assert {one.code for one in forwarding.status().machines} == {"untrusted-sender"}


def test_where_the_cloud_cannot_be_asked_nothing_is_admitted_and_what_is_held_stays(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any], cloud: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = cluster_that_trusts_science(stage)
    log_in(monkeypatch, cloud, "data-science", "ana")
    with client_of(stage, 1) as client:
        with forward(aws="local", trust="first-use"):
            within(30, lambda: token_on(client, "a") == SECRET, "the token")
        write_key(stage.folder / "second.key")
        cloud.fault("sts", "GetCallerIdentity", status=503)
        with forward(aws="local", trust="first-use", sender_key=stage.folder / "second.key") as forwarding:
            assert {one.code for one in forwarding.status().machines} == {"service-error"}
        assert machine.ask("status")["bundle"]["sender"] == key.key_id


def deliver_by_hand(stage: Stage, key: SenderPrivateKey, trusted: str, sender: dict[str, str], *seal: str) -> None:
    """Seal for a machine that trusts `trusted`, without the sender's word and with it, and deliver both."""
    machine = stage.machine("a", agent=False)
    machine.start_agent()
    configure(machine, trusted)
    assert machine.agent is not None
    machine.agent.send_signal(signal.SIGHUP)
    within(20, lambda: machine.ask("identity").get("trusts_identities"), "the reload")
    environ = {**stage.environ, **sender, "XDG_STATE_HOME": str(stage.folder)}
    bundle = str(stage.folder / "bundle")
    named = ("--recipient", machine.public_key, "--audience", "lab", "--sender-key", str(stage.folder / "sender.key"))
    sealing = [str(BIN / "credagent"), "seal", *named, "--out", bundle, *seal]
    deliver = [str(BIN / "credagent"), "deliver", bundle, "--to", f"socket:{machine.socket}"]
    assert run(sealing, env=environ).returncode == 0
    refused = run(deliver, env=environ)
    assert (refused.returncode, "does not trust its sender" in refused.stderr) == (65, True)
    assert run([*sealing, "--attested"], env=environ).returncode == 0
    assert "attestation:" in run([str(BIN / "credagent"), "inspect", bundle], env=environ).stdout
    admitted = run(deliver, env=environ)
    assert admitted.returncode == 0, admitted.stderr
    status = machine.ask("status")["bundle"]
    assert (status["sender"], status["sender_name"]) == (key.key_id, trusted.replace("/*", "/ana"))


def test_a_bundle_that_is_delivered_by_hand_brings_its_sender_s_word_if_that_was_said(
    stage: Stage, key: SenderPrivateKey, cloud: Simulator
) -> None:
    session = cloud.issue_session("data-science", "ana")
    sender = {
        "AWS_ACCESS_KEY_ID": session["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": session["secret_access_key"],
        "AWS_SESSION_TOKEN": session["session_token"],
    }
    deliver_by_hand(stage, key, SCIENCE, sender)


def test_google_vouches_for_a_sender_who_holds_the_key_of_a_service_account(
    stage: Stage, key: SenderPrivateKey, cloud: Simulator
) -> None:
    document = cloud.create_service_account_key("etl")
    path = stage.folder / "etl.json"
    path.write_text(json.dumps({**document, "token_uri": f"{cloud.addresses()['oauth']}/token"}), encoding="utf-8")
    sender = {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    deliver_by_hand(stage, key, f"google:{document['client_email']}", sender, "--google", "local", "--aws", "none")
