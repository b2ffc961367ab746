"""`credagent deliver --to dask:…`: one sealed bundle to each agent of a cluster, and what each of them answered."""

from pathlib import Path

from credagent.bundle.key_pairs import RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from tests.canary import CANARY
from tests.integration.forwarder.stage import BIN, Machine, Stage, run, within
from tests.integration.letters import letter


def cluster(stage: Stage, key: SenderPrivateKey) -> list[Machine]:
    """Two machines with agents; the scheduler runs on the first, a worker on each."""
    machines = [stage.machine(name, key.public_key.line) for name in "ab"]
    stage.start_scheduler(machines[0])
    for machine in machines:
        stage.start_worker(machine, f"{machine.name}1")
    return machines


def deliver(stage: Stage, bundle: str) -> tuple[int, list[str]]:
    """Deliver, once the cluster is complete; return the exit code and the answers."""
    path = Path(stage.folder / "bundle")
    path.write_text(bundle)
    command = (str(BIN / "credagent"), "deliver", str(path), "--to", f"dask:{stage.scheduler}")

    def complete() -> tuple[int, list[str]] | None:
        done = run(command, env=stage.environ)
        answers = done.stdout.splitlines()
        return (done.returncode, answers) if len(answers) == 2 else None

    found: tuple[int, list[str]] = within(60, complete, "both machines")
    return found


def outcomes(answers: list[str]) -> set[str]:
    return {line.rpartition(": ")[2] for line in answers}


def test_each_machine_answers_once_and_has_it(stage: Stage, key: SenderPrivateKey) -> None:
    machines = cluster(stage, key)
    recipients = [RecipientPublicKey.parse(machine.public_key) for machine in machines]
    status, answers = deliver(stage, seal(letter(), recipients, key))
    assert (status, outcomes(answers) <= {"admitted", "unchanged"}) == (0, True), answers
    assert [machine.env_of_slot()["DB_TOKEN"] for machine in machines] == [CANARY] * 2
    assert CANARY not in "\n".join(answers)


def test_a_machine_that_cannot_open_it_says_so(stage: Stage, key: SenderPrivateKey) -> None:
    machines = cluster(stage, key)
    status, answers = deliver(stage, seal(letter(), [RecipientPublicKey.parse(machines[0].public_key)], key))
    assert status == 1
    assert "not-for-this-machine" in outcomes(answers), answers
    assert machines[0].env_of_slot()["DB_TOKEN"] == CANARY


def test_a_cluster_that_is_not_there_is_told_as_such(stage: Stage, key: SenderPrivateKey) -> None:
    path = Path(stage.folder / "bundle")
    path.write_text(seal(letter(), [RecipientPublicKey.parse(stage.machine("a", key.public_key.line).public_key)], key))
    done = run((str(BIN / "credagent"), "deliver", str(path), "--to", "dask:127.0.0.1:1"), env=stage.environ)
    assert done.returncode == 69
    assert "hint:" in done.stderr
