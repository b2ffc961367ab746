"""`doctor --from laptop`: what each machine of a real cluster answers, before and after something was brought there."""

import json
from typing import Any

from credagent.bundle.key_pairs import RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from tests.integration.forwarder.stage import BIN, Stage, run, within
from tests.integration.forwarder.test_deliver_dask import cluster, deliver
from tests.integration.letters import letter


def doctor(stage: Stage) -> tuple[int, dict[str, Any]]:
    command = (str(BIN / "credagent"), "doctor", "--from", "laptop", "--scheduler", stage.scheduler, "--json")
    done = run(command, env=stage.environ)
    return done.returncode, json.loads(done.stdout)


def codes(stage: Stage) -> list[str]:
    return [one["code"] for one in doctor(stage)[1]["findings"]]


def test_a_cluster_is_judged_from_the_senders_side(stage: Stage, key: SenderPrivateKey) -> None:
    machines = cluster(stage, key)
    within(60, lambda: len(doctor(stage)[1]["notes"]) == 3, "scheduler and both workers")
    status, document = doctor(stage)
    (nobody_forwards,) = document["findings"]
    assert (status, nobody_forwards["code"]) == (1, "no-plugin")
    assert nobody_forwards["remedy"] == f"`credagent forward --scheduler {stage.scheduler}`"

    recipients = [RecipientPublicKey.parse(machine.public_key) for machine in machines]
    assert deliver(stage, seal(letter(), recipients, key))[0] == 0
    assert doctor(stage)[0] == 0
    assert codes(stage) == []

    machines[1].stop_agent()
    (without,) = doctor(stage)[1]["findings"]
    assert (without["code"], "systemctl enable --now credagent" in without["remedy"]) == ("no-agent", True)
