"""Forwarding to real agents: whose key is sealed to, and who trusts whom."""

from collections.abc import Callable
from typing import Any

import boto3
import distributed
import pytest
from moto.server import ThreadedMotoServer

from credagent.bundle.key_pairs import RecipientPrivateKey, SenderPrivateKey
from credagent.errors import Unavailable, UsageError
from credagent.forwarder import loop
from tests.integration.forwarder.play import SECRET, Said, client_of, small, token_on
from tests.integration.forwarder.stage import Stage, within
from tests.patience import scaled
from tests.ports import free_port
from tests.simulator import Simulator


def test_agents_that_do_not_trust_the_sender_are_one_message_ready_to_paste(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 1.0)
    stranger = SenderPrivateKey.generate()
    machines = small(stage, stranger, "a", "b", "c")
    with client_of(stage, 3) as client, forward() as forwarding:
        assert {machine.code for machine in forwarding.status().machines} == {"untrusted-sender"}
        (message,) = said.about("do not trust you")
        assert message.startswith("3 agents do not trust you")
        pasted = message.split("\n", 1)[1]
        assert pasted == f'[bundle]\ntrusted_senders = ["{key.public_key.line}"]'
        machines[0].stop_agent()
        machines[0].trusted = (key.public_key.line,)
        machines[0].start_agent()
        within(30, lambda: token_on(client, "a") == SECRET, "the agent that was told to trust")


def test_a_machine_of_another_audience_is_not_sent_to_when_one_was_named(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    b = stage.machine("b", key.public_key.line, audience="elsewhere")
    stage.start_worker(b, "b", "--no-nanny")
    with client_of(stage, 2) as client:
        with forward(audience="lab") as forwarding:
            assert {machine.code for machine in forwarding.status().machines} == {"", "other-audience"}
            assert token_on(client, "a") == SECRET
        assert said.about("other-audience")
        with forward() as forwarding:  # no audience: each machine's own
            assert {machine.state for machine in forwarding.status().machines} == {"admitted"}
            assert token_on(client, "b") == SECRET
    assert a.ask("status")["bundle"]["sender"] == key.key_id


def test_first_use_refuses_machines_that_join_later_and_keys_that_change(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RECONCILE_S", 1.0)
    (a,) = small(stage, key, "a")
    joins = stage.machine("joins", key.public_key.line)
    with client_of(stage, 1) as client, forward() as forwarding:
        assert token_on(client, "a") == SECRET
        stage.start_worker(a, "a2", "--no-nanny")
        assert token_on(client, "a2") == SECRET  # another worker of a machine that was there
        stage.start_worker(joins, "joins", "--no-nanny")
        assert token_on(client, "joins") == "none"
        within(30, lambda: said.about("NOT sent to"), "the refusal")
        a.stop_agent()
        (a.folder / "state" / "recipient.key").unlink()
        a.start_agent()
        within(30, lambda: said.about("key-changed"), "the changed key")
        assert all(machine.code for machine in forwarding.status().machines if machine.state == "distrusted")


def test_without_ground_to_believe_a_key_nothing_is_sent_and_the_choices_are_listed(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    stage.scheduler = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(UsageError) as error:
        forward(trust=None)
    for choice in ("recipients=", "tls://", "first-use", "any"):
        assert choice in error.value.hint
    for lasting in ({"assume_role": "arn:aws:iam::123456789012:role/r"}, {"allow_refresh_token": True}):
        with pytest.raises(UsageError, match="outlives"):
            forward(**lasting)
    with pytest.raises(Unavailable):
        forward()  # nobody listens there


def test_a_cluster_key_that_the_caller_names_serves_machines_that_announce_others(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    cluster_key = RecipientPrivateKey.generate()
    path = stage.folder / "cluster.key"
    path.touch(mode=0o600)
    path.write_text(cluster_key.to_text().reveal())
    stage.environ["CREDAGENT_BUNDLE_RECIPIENT_KEYS"] = f"state,file:{path}"
    small(stage, key, "a", "b")
    with client_of(stage, 2) as client, forward(trust=None, recipients=[cluster_key.public_key.line]):
        assert [token_on(client, name) for name in "ab"] == [SECRET, SECRET]
    with forward(trust=None, recipients=RecipientPrivateKey.generate().public_key.line) as forwarding:
        assert {machine.code for machine in forwarding.status().machines} == {"not-for-this-machine"}
    assert said.about("not-for-this-machine")


def test_a_key_that_two_clusters_share_serves_the_one_whose_audience_is_meant(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's word would otherwise be enough to have a bundle sealed for the other cluster, which opens it."""
    monkeypatch.setattr(loop, "RECONCILE_S", 1.0)
    path = stage.folder / "cluster.key"
    cluster_key = RecipientPrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(cluster_key.to_text().reveal())
    stage.environ["CREDAGENT_BUNDLE_RECIPIENT_KEYS"] = f"state,file:{path}"
    small(stage, key, "a")
    other = stage.machine("b", key.public_key.line, audience="elsewhere")
    named = {"trust": None, "recipients": [cluster_key.public_key.line]}
    with client_of(stage, 1) as client:
        with forward(**named):
            assert token_on(client, "a") == SECRET
            stage.start_worker(other, "b", "--no-nanny")
            within(30, lambda: said.about("name the one that is meant, audience="), "what to do")
            assert token_on(client, "b") == "none"
        with forward(**named, audience="elsewhere"):
            assert token_on(client, "b") == SECRET
            assert said.about("its audience is 'lab', not 'elsewhere'")


def test_a_key_in_kms_serves_machines_that_have_none_of_their_own(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with Simulator() as cloud:
        where = {"AWS_ENDPOINT_URL_KMS": "http://{}:{}".format(*server.get_host_and_port())}
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", where["AWS_ENDPOINT_URL_KMS"])
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "of-the-sender")
        kms = boto3.client("kms", endpoint_url=where["AWS_ENDPOINT_URL_KMS"], region_name="eu-central-1")
        name = f"aws-kms:{kms.create_key()['KeyMetadata']['Arn']}"
        stage.environ |= {**cloud.environ(google_machine=False), **where, "CREDAGENT_BUNDLE_RECIPIENT_KEYS": name}
        small(stage, key, "a")
        with client_of(stage, 1) as client, forward(trust=None, recipients=name) as forwarding:
            assert [machine.state for machine in forwarding.status().machines] == ["admitted"]
            assert token_on(client, "a") == SECRET
    server.stop()


def test_a_variable_on_the_deny_list_is_said_before_and_refused_by_the_agent(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    with client_of(stage, 1), forward(environ={"LD_PRELOAD": "x"}) as forwarding:
        assert {machine.code for machine in forwarding.status().machines} == {"denied-variable"}
    assert said.about("agents refuse the bundle because of LD_PRELOAD")


def test_a_scheduler_that_demands_tls_vouches_for_its_machines(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    pytest.importorskip("cryptography")
    from distributed.security import Security

    temporary = Security.temporary()
    files = {}
    for name, pem in (
        ("ca", temporary.tls_ca_file),
        ("cert", temporary.tls_client_cert),
        ("key", temporary.tls_client_key),
    ):
        path = stage.folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(pem)
        files[name] = str(path)
    options = ("--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"])
    a = stage.machine("a", key.public_key.line)
    stage.start_scheduler(a, *options)
    stage.start_worker(a, "a", "--no-nanny", *options)
    with distributed.Client(stage.scheduler, security=temporary, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=scaled(60))
        with forward(client, trust=None):
            assert token_on(client, "a") == SECRET
    with pytest.raises(UsageError, match="certificates"):
        forward(stage.scheduler, trust=None)
    with pytest.raises(Unavailable) as error:
        forward(stage.scheduler.replace("tls://", "tcp://"))
    assert "tls://" in error.value.hint
