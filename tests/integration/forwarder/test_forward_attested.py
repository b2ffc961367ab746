"""Forwarding without a word of trust: to machines that a simulated cloud says to be one's own, and to no other."""

import os
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.errors import UsageError
from credagent.forwarder import loop
from tests.integration.forwarder.play import SECRET, Said, client_of, small, token_on
from tests.integration.forwarder.stage import BIN, Machine, Stage, run, within
from tests.patience import scaled
from tests.ports import free_port
from tests.simulator import Simulator

READ_KEY = "__import__('os').environ.get('AWS_ACCESS_KEY_ID', '')"
NO_CLOUD = {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}


class Clouds:
    """One simulated account and project, and machines that are of them or not."""

    def __init__(self, simulator: Simulator, stage: Stage, key: SenderPrivateKey) -> None:
        self.simulator, self._stage, self._key = simulator, stage, key
        self._others: list[Simulator] = []
        user = simulator.create_user("ana")
        session = simulator.environ(aws_machine=False, google_machine=False)
        self.sender = {
            **session,
            "AWS_ACCESS_KEY_ID": user["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": user["secret_access_key"],
            "AWS_SESSION_TOKEN": "",
        }

    def machine(self, name: str, /, *, google: bool = False, trusts: bool = True, **fields: Any) -> Machine:
        """A machine with an agent and a worker, of its own metadata: `fields` of the instance or the VM."""
        other = Simulator(beside=self.simulator).start()
        self._others.append(other)
        (other.google_machine if google else other.instance)(**fields)
        self._stage.environ = {**_clean(), **other.environ(aws_machine=not google, google_machine=google)}
        trusted = (self._key.public_key.line,) if trusts else ()
        return self._stage.machine(name, *trusted, more='[aws]\nfallback = "never"')

    def stop(self) -> None:
        for other in self._others:
            other.stop()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GOOGLE_", "GCE_"))}


@pytest.fixture
def clouds(stage: Stage, key: SenderPrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    monkeypatch.setattr(loop, "RECONCILE_S", 1.0)
    with Simulator() as simulator:
        found = Clouds(simulator, stage, key)
        for name, value in found.sender.items():
            monkeypatch.setenv(name, value)
        yield found
        found.stop()


def key_id_on(client: Any) -> str:
    return str(client.submit(eval, READ_KEY, pure=False).result(timeout=scaled(60)))


def grounds_on_page(port: int, wanted: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/credentials", timeout=scaled(30)) as answer:
        page: str = answer.read().decode()
    return page if wanted in page else ""


def verdicts(forwarding: Any) -> dict[str, str]:
    """By the instance that is named, or the code of the refusal."""
    return {machine.ground or machine.code: machine.state for machine in forwarding.status().machines}


def test_only_machines_of_one_s_own_account_get_anything_late_ones_too_and_of_google_where_that_was_said(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], clouds: Clouds
) -> None:
    mine = clouds.machine("mine", instance_id="i-0a11ce0000000001", role=None)
    foreign = clouds.machine("foreign", instance_id="i-0badbad000000001", account_id="999999999999")
    port = free_port()
    stage.start_scheduler(mine, "--dashboard-address", f"127.0.0.1:{port}", dashboard=True)
    for machine in (mine, foreign):
        stage.start_worker(machine, machine.name, "--no-nanny")
    attest = {"aws_accounts": "123456789012", "google_projects": "dask-project"}
    with client_of(stage, 2) as client, forward(aws="local", trust=None, attest=attest) as forwarding:
        within(30, lambda: token_on(client, "mine") == SECRET, "my machine's token")
        assert token_on(client, "foreign") == "none"
        found = verdicts(forwarding)
        (ground,) = [name for name in found if "i-0a11ce0000000001 in account 123456789012" in name]
        assert found == {ground: "admitted", "other-account": "distrusted"}
        assert said.about(f"believed because {ground}")
        assert said.about("i-0badbad000000001 in account 999999999999")
        late = clouds.machine("late", google=True, name="late-vm")
        stage.start_worker(late, "late", "--no-nanny")
        within(30, lambda: token_on(client, "late") == SECRET, "the late machine's token")
        within(30, lambda: any("late-vm" in name for name in verdicts(forwarding)), "the late machine's ground")
        assert "late-vm" in str(forwarding.status())
        page = within(30, lambda: grounds_on_page(port, "late-vm (4520031799277581759)…"), "the page")
        assert "belongs to i-0a11ce0000000001…" in page
        assert not any(name in page for name in ("123456789012", "dask-project"))
        assert foreign.ask("status")["bundle"]["bundle_id"] is None


def test_an_ec2_cluster_needs_no_word_of_trust_by_the_function_and_by_the_command(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any], clouds: Clouds
) -> None:
    mine = clouds.machine("mine")
    stage.start_scheduler(mine)
    stage.start_worker(mine, "mine", "--no-nanny")
    with client_of(stage, 1) as client:
        with forward(aws="local", trust=None, environ=None):
            sent = within(30, lambda: key_id_on(client), "the session")
            assert clouds.simulator.credential(sent)["kind"] == "session-token"
        command = (*(str(BIN / "credagent"), "forward", "--scheduler", stage.scheduler, "--once"),)
        path = str(stage.folder / "sender.key")
        done = run([*command, "--sender-key", path], env={**_clean(), **clouds.sender, "HOME": str(stage.folder)})
        assert done.returncode == 0, done.stderr
        assert "believed because AWS says that key" in done.stderr
        # What lasts goes to attested machines only where that was said.
        lasting = ("--allow-long-term", "--sender-key", path)
        refused = run([*command, *lasting], env={**_clean(), **clouds.sender, "HOME": str(stage.folder)})
        assert "outlives this session" in refused.stderr
        assert "--trust attested" in refused.stderr


def test_machines_of_no_cloud_are_answered_with_the_choices(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any], clouds: Clouds
) -> None:
    stage.environ = {**_clean(), **NO_CLOUD}
    small(stage, key, "a")
    with client_of(stage, 1), pytest.raises(UsageError) as error:
        forward(aws="local", trust=None)
    assert error.value.code == "no-trust"
    for choice in ("recipients=", "tls://", "attested", "first-use", "any"):
        assert choice in error.value.hint


def test_a_machine_whose_metadata_are_out_of_reach_is_named_with_the_remedy(
    stage: Stage, key: SenderPrivateKey, said: Said, forward: Callable[..., Any], clouds: Clouds
) -> None:
    mine, closed = clouds.machine("mine"), clouds.machine("closed", mode="disabled")
    stage.start_scheduler(mine)
    for machine in (mine, closed):
        stage.start_worker(machine, machine.name, "--no-nanny")
    with client_of(stage, 2) as client, forward(aws="local", trust=None):
        within(30, lambda: token_on(client, "mine") == SECRET, "my machine's token")
        assert token_on(client, "closed") == "none"
        assert said.about("metadata-disabled")
        assert said.about("modify-instance-metadata-options")
