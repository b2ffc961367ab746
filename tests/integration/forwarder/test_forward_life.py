"""Forwarding over time: late workers, ends, restarts, a second forwarder, and workers that misbehave."""

import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any

from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.key_pairs import RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from tests.integration.forwarder.play import READ, SECRET, Said, address_of, client_of, small, token_on, write_key
from tests.integration.forwarder.stage import BIN, Stage, end, run, within
from tests.integration.letters import letter
from tests.patience import scaled
from tests.ports import free_port

FORGET = "[worker.handlers.pop('credagent-report') and None for worker in __import__('distributed').Worker._instances]"


def test_a_late_worker_on_a_new_machine_holds_them_before_a_task_that_waits_for_it(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    late = stage.machine("late", key.public_key.line)
    with client_of(stage, 1) as client, forward(trust="any"):
        queued = client.submit(eval, READ, resources={"late": 1}, pure=False)
        stage.start_worker(late, "late", "--resources", "late=1")
        assert queued.result(timeout=scaled(40)) == SECRET


def test_the_command_serves_until_it_is_killed_and_then_a_late_worker_waits_as_told(
    stage: Stage, key: SenderPrivateKey
) -> None:
    small(stage, key, "a")
    late = stage.machine("late", key.public_key.line)
    with client_of(stage, 1) as client:
        options = ("--aws", "none", "--env", "DB_TOKEN", "--sender-key", str(stage.folder / "sender.key"))
        forwarder = stage.start_forwarder(*options, "--trust", "any", DB_TOKEN=SECRET)
        assert token_on(client, "a") == SECRET
        end(forwarder, signal.SIGKILL)
        stage.start_worker(late, "late", "--no-nanny", CREDAGENT_WORKER_WAIT="3s")
        assert token_on(client, "late") == "none"
        assert "No bundle came from the forwarder in time" in stage.logs()
        stage.start_forwarder(*options, "--trust", "any", DB_TOKEN=SECRET)
        assert token_on(client, "late") == SECRET


def test_a_worker_that_may_not_start_without_credentials_leaves_with_69(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    """It has its side from forwarding alone; what a plugin raises, Dask logs and goes on without."""
    small(stage, key, "a")
    bare = stage.machine("bare", agent=False)
    with client_of(stage, 1) as client, forward(trust="any"):
        named = {"CREDAGENT_WORKER_MISSING": "exit", "CREDAGENT_WORKER_WAIT": "1s"}
        worker = stage.start_worker(bare, "bare", "--no-nanny", **named)
        assert worker.wait(scaled(60)) == 69
        assert token_on(client, "a") == SECRET
    assert "CREDAGENT_WORKER_MISSING=exit" in stage.logs()


def test_once_says_of_each_machine_what_became_of_it(stage: Stage, key: SenderPrivateKey) -> None:
    small(stage, key, "a")
    command = [str(BIN / "credagent"), "forward", "--scheduler", stage.scheduler, "--aws", "none", "--once"]
    sender = ["--sender-key", str(stage.folder / "sender.key"), "--trust", "any"]
    with client_of(stage, 1):
        done = run([*command, *sender], env=stage.environ)
        assert (done.returncode, "admitted" in done.stdout) == (0, True), done
        strange = run([*command, "--trust", "any"], env=stage.environ | {"XDG_CONFIG_HOME": str(stage.folder / "x")})
    assert strange.returncode == 1
    assert "untrusted-sender" in strange.stdout
    assert "made a signing key for you" in strange.stderr
    assert (stage.folder / "x" / "credagent" / "sender.key").stat().st_mode & 0o777 == 0o600


def test_a_command_that_is_ended_before_anybody_answered_ends_in_its_own_way(
    stage: Stage, key: SenderPrivateKey
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = ("forward", "--scheduler", f"tcp://127.0.0.1:{silent.getsockname()[1]}", "--trust", "any")
        sender = ("--sender-key", str(stage.folder / "sender.key"), "--aws", "none", "--env", "DB_TOKEN")
        line = [str(BIN / "credagent"), *words, *sender, "--withdraw-on-exit"]
        with subprocess.Popen(line, env=stage.environ | {"DB_TOKEN": SECRET}, stdout=subprocess.PIPE) as command:
            connection, _ = silent.accept()
            command.terminate()
            said, _ = command.communicate(timeout=scaled(40))
            connection.close()
    assert command.returncode == 130
    assert said == b"starting\n"


def test_leaving_the_block_leaves_what_was_delivered_and_later_workers_do_not_wait(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    other = stage.machine("other", key.public_key.line)
    with client_of(stage, 1) as client:
        with forward(trust="any"):
            pass
        assert token_on(client, "a") == SECRET
        stage.start_worker(a, "a2", "--no-nanny")
        stage.start_worker(other, "other", "--no-nanny", CREDAGENT_WORKER_WAIT="60s")
        assert token_on(client, "a2") == SECRET
        assert token_on(client, "other") == "none"


def test_a_second_forwarder_takes_over_and_both_say_so(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    other = write_key(stage.folder / "other.key")
    (a,) = small(stage, key, "a")
    a.stop_agent()
    a.trusted = (*a.trusted, other.public_key.line)
    a.start_agent()
    with client_of(stage, 1) as client:
        first = forward()
        second = forward(environ={"DB_TOKEN": "of-the-second"}, sender_key=stage.folder / "other.key")
        assert token_on(client, "a") == "of-the-second"
        within(15, lambda: first.status().state == "replaced", "the first forwarder stops")
        assert second.status().state == "forwarding"
    assert said.about("takes over from the forwarder of")
    assert said.about(f"what sender {fingerprint(key.key_id)} had forwarded is replaced")
    assert said.about("this forwarder stops")


def test_a_second_forwarder_with_the_same_key_takes_over_at_once(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    with client_of(stage, 1) as client:
        stage.start_forwarder("--aws", "none", "--trust", "any", "--sender-key", str(stage.folder / "sender.key"))
        forward(environ={"DB_TOKEN": "of-the-second"})
        assert token_on(client, "a") == "of-the-second"
        within(15, lambda: "this forwarder stops" in stage.logs(), "the first forwarder says so")
    assert said.about("takes over from the forwarder of")


def test_a_cell_that_is_run_again_says_one_sentence_of_it(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    with client_of(stage, 1) as client:
        first = forward()
        before = len(said)
        forward(environ={"DB_TOKEN": "of-the-second"})
        within(15, lambda: first.status().state == "replaced", "the first forwarding ends")
        assert token_on(client, "a") == "of-the-second"
        assert [line for line in said[before:] if not line.startswith("forwarded to")] == [
            "takes the place of what this process forwarded before"
        ]


def test_a_restarted_scheduler_and_its_new_workers_are_served_again(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    a = stage.machine("a", key.public_key.line)
    port = free_port()
    stage.start_scheduler(a, port=port)
    scheduler = stage.processes[-1]
    worker = stage.start_worker(a, "a", "--no-nanny")
    with client_of(stage, 1):
        forwarding = forward()
    end(worker)
    end(scheduler)
    within(30, lambda: forwarding.status().state == "reconnecting", "the loss is noticed")
    stage.start_scheduler(a, port=port)
    stage.start_worker(a, "again", "--no-nanny")
    with client_of(stage, 1) as client:
        # A worker that is there before the forwarder is back runs what it has until then.
        within(40, lambda: token_on(client, "again") == SECRET, "the new worker is served")
        within(40, lambda: forwarding.status().state == "forwarding", "forwarding goes on")
        assert client.run_on_scheduler(eval, READ) == SECRET
    assert said.about("connected again")


def test_a_bundle_that_is_delivered_once_takes_no_mail_from_a_forwarder_that_is_at_work(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    bare, late = stage.machine("bare", agent=False), stage.machine("late", key.public_key.line)
    with client_of(stage, 1) as client, forward(trust="any"):
        # Somebody who has no plugin, so that the delivery has to bring its own to all of them.
        stage.start_worker(bare, "bare", "--no-nanny", CREDAGENT_WORKER_WAIT="1s")
        client.wait_for_workers(2, timeout=scaled(60))
        client.run(eval, FORGET, workers=[address_of(client, "bare")])
        bundle = stage.folder / "bundle"
        bundle.write_text(seal(letter(), [RecipientPublicKey.parse(a.public_key)], key))
        done = run((str(BIN / "credagent"), "deliver", str(bundle), "--to", f"dask:{stage.scheduler}"))
        assert "admitted" in done.stdout
        stage.start_worker(late, "late", "--no-nanny")
        assert token_on(client, "late") == SECRET
