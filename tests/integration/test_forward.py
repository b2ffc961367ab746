"""`forward_credentials` with real scheduler, workers and agents: what arrives, on what ground, and what is said."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credagent.bundle.keys import RecipientPrivateKey, SenderPrivateKey
from credagent.errors import Unavailable, UsageError
from credagent.sender.forwarding import engine
from credagent.sender.forwarding.forward import OWN, forward_credentials
from credagent.sender.forwarding.rounds import Own
from tests.integration.forward_stage import BIN, Machine, Stage, end, free_port, run, staged, within

distributed = pytest.importorskip("distributed")

SECRET = "hunter2-canary"
# Tasks travel as text: a function of this module would be looked up in a module that workers do not have.
READ = "__import__('os').environ.get('DB_TOKEN', 'none')"


class Said(list[str]):
    """What people were told."""

    def about(self, text: str) -> list[str]:
        return [line for line in self if text in line]


@pytest.fixture
def key(tmp_path: Path) -> SenderPrivateKey:
    return write_key(tmp_path / "sender.key")


def write_key(path: Path) -> SenderPrivateKey:
    made = SenderPrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(made.to_text().reveal())
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, dict(os.environ)) as found:
        yield found


@pytest.fixture(autouse=True)
def machines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is started by this very process, which would take workers without an agent for its own."""
    monkeypatch.setattr(engine, "own_process", lambda: Own(boot="", pid=0))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def forward(stage: Stage, said: Said) -> Iterator[Callable[..., Any]]:
    """Forward with the stage's key; whatever a test leaves running is stopped."""
    begun = []

    def begin(target: Any = None, **options: Any) -> Any:
        defaults: dict[str, Any] = {
            "aws": None,
            "environ": {"DB_TOKEN": SECRET},
            "sender_key": stage.folder / "sender.key",
            "trust": "first-use",
            "say": said.append,
            "timeout": 60,
        }
        begun.append(forward_credentials(target or stage.scheduler, **{**defaults, **options}))
        return begun[-1]

    yield begin
    for forwarding in begun:
        forwarding.stop()


def client_of(stage: Stage, workers: int = 0) -> Any:
    client = distributed.Client(stage.scheduler, set_as_default=False)
    if workers:
        client.wait_for_workers(workers, timeout=60)
    return client


def token_on(client: Any, name: str) -> str:
    address = within(40, lambda: address_of(client, name), f"the worker {name}")
    return str(client.submit(eval, READ, workers=[address], pure=False).result(timeout=60))


def address_of(client: Any, name: str) -> str:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return next((address for address, facts in workers.items() if facts["name"] == name), "")


def small(stage: Stage, key: SenderPrivateKey, *names: str, **more: Any) -> list[Machine]:
    """One machine for each name with one worker on it, and a scheduler on the first."""
    machines = [stage.machine(name, key.public_key.line, **more) for name in names]
    stage.start_scheduler(machines[0])
    for machine in machines:
        stage.start_worker(machine, machine.name, "--no-nanny")
    return machines


def test_one_line_reaches_every_machine_once_and_every_process(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    machines = [stage.machine(name, key.public_key.line) for name in "abc"]
    stage.start_scheduler(machines[0])
    for machine, name in ((machines[1], "b1"), (machines[1], "b2"), (machines[2], "c1")):
        stage.start_worker(machine, name)
    with client_of(stage, 3) as client, forward() as forwarding:
        status = forwarding.status()
        assert status.state == "forwarding"
        assert {machine.state for machine in status.machines} == {"admitted"}
        assert sorted(machine.processes for machine in status.machines) == [1, 1, 2]
        assert [token_on(client, name) for name in ("b1", "b2", "c1")] == [SECRET] * 3
        assert client.run_on_scheduler(eval, READ) == SECRET
        # A worker process that its nanny restarts starts with what its agent has.
        client.restart_workers([address_of(client, "c1")], timeout=60)
        client.wait_for_workers(3, timeout=60)
        assert token_on(client, "c1") == SECRET
    assert said.about("forwarded to 3 machines (4 processes)")
    assert SECRET not in "".join(said) + repr(forwarding) + str(status)
    assert "DB_TOKEN" not in os.environ
    assert SECRET not in stage.logs()


def test_a_late_worker_on_a_new_machine_holds_them_before_a_task_that_waits_for_it(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    late = stage.machine("late", key.public_key.line)
    with client_of(stage, 1) as client, forward(trust="any"):
        queued = client.submit(eval, READ, resources={"late": 1}, pure=False)
        stage.start_worker(late, "late", "--resources", "late=1")
        assert queued.result(timeout=40) == SECRET


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


def test_withdraw_takes_it_away_and_says_where(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    (a,) = small(stage, key, "a")
    with client_of(stage, 1) as client:
        forwarding = forward()
        assert token_on(client, "a") == SECRET
        status = forwarding.withdraw()
        assert status.state == "withdrawn"
        assert [machine.state for machine in status.machines] == ["admitted"]
        assert a.ask("status")["slots"]["environment"]["statement"] == "withdrawn"
        within(15, lambda: token_on(client, "a") != SECRET, "the value is overwritten")


def test_machines_without_an_agent_are_named_and_the_rest_is_served(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    stage.start_worker(stage.machine("bare", agent=False), "bare", "--no-nanny")
    with client_of(stage, 2) as client, forward() as forwarding:
        assert token_on(client, "a") == SECRET
        assert token_on(client, "bare") == "none"
        assert [fault for _, fault in forwarding.status().faults] == ["no-agent"]
    assert said.about("no agent answers on")


def test_agents_that_do_not_trust_the_sender_are_one_message_ready_to_paste(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RECONCILE_S", 1.0)
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
    monkeypatch.setattr(engine, "RECONCILE_S", 1.0)
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


def test_a_variable_on_the_deny_list_is_said_before_and_refused_by_the_agent(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")
    with client_of(stage, 1), forward(environ={"LD_PRELOAD": "x"}) as forwarding:
        assert {machine.code for machine in forwarding.status().machines} == {"denied-variable"}
    assert said.about("agents refuse the bundle because of LD_PRELOAD")


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
    assert said.about(f"replaces what sender {key.key_id} had forwarded")
    assert said.about("this forwarder stops")


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
        assert token_on(client, "again") == SECRET
        within(40, lambda: forwarding.status().state == "forwarding", "forwarding goes on")
        assert client.run_on_scheduler(eval, READ) == SECRET
    assert said.about("connected again")


def test_an_asynchronous_client_is_served_without_stopping_its_loop(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    small(stage, key, "a")

    async def story() -> str:
        async with distributed.Client(stage.scheduler, asynchronous=True, set_as_default=False) as client:
            await client.wait_for_workers(1)
            async with forward(client) as forwarding:
                assert forwarding.status().state == "forwarding"
                return str(await client.submit(eval, READ, pure=False))

    assert asyncio.run(story()) == SECRET


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
        client.wait_for_workers(1, timeout=60)
        with forward(client, trust=None):
            assert token_on(client, "a") == SECRET
    with pytest.raises(UsageError, match="certificates"):
        forward(stage.scheduler, trust=None)


def test_workers_that_answer_rubbish_or_never_do_not_keep_the_others(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from credagent.sender.forwarding import courier

    monkeypatch.setattr(courier, "ASK_S", 2.0)
    monkeypatch.setattr(courier, "INSTALL_S", 3.0)
    (a,) = small(stage, key, "a")
    preload = stage.folder / "hostile.py"
    preload.write_text("""
import asyncio, os
def dask_setup(worker):
    if os.environ["MOOD"] == "rubbish":
        async def answer(**message): return {"credagent": 1, "public_key": ["x"], "address": 7}
    else:
        async def answer(**message): await asyncio.sleep(600)
    worker.handlers.update({"plugin-add": answer, "credagent-report": answer, "credagent-deliver": answer})
""")
    for mood in ("rubbish", "silent"):
        stage.start_worker(a, mood, "--no-nanny", "--preload", str(preload), MOOD=mood)
    with client_of(stage, 3) as client, forward() as forwarding:
        assert token_on(client, "a") == SECRET
        assert forwarding.status().state == "forwarding"


def test_a_local_cluster_is_told_that_it_has_the_identity_already(said: Said) -> None:
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        forward_credentials(cluster, environ={"DB_TOKEN": SECRET}, say=said.append) as forwarding,
    ):
        assert forwarding.status().state == "own"
    assert said == [OWN]
    assert "DB_TOKEN" not in os.environ
