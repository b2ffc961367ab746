"""An agent whose bundle only Google's KMS opens: it starts, answers and reloads while the service thinks."""

import base64
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from credagent.admission.kms_recipient_key import kms_key
from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.bundle.sealing import seal
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import KmsEncrypt
from credagent.credentials import Statement
from credagent.secret import Secret
from tests.canary import CANARY
from tests.demo.stage import Stage, start_cloud
from tests.integration.agents import Machine, machines
from tests.integration.letters import letter

KEY = "projects/dask-project/locations/global/keyRings/dask/cryptoKeys/{}"


class KeyIn:
    """Closes with a key of Google's KMS, as `seal --recipient gcp-kms:…` does."""

    def __init__(self, name: str, environ: dict[str, str]) -> None:
        self.spec = "gcp-kms:" + KEY.format(name)
        self.kind: StanzaKind = StanzaKind.GCP_KMS
        self.recipient_id, self._environ = kms_key(self.spec).recipient_id, environ

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        request = KmsEncrypt(
            key=self.spec,
            plaintext_base64=Secret(base64.b64encode(content_key).decode()),
            context=context.encryption_context,
            associated_data=context.info,
            identity="machine",
        )
        return call_blocking(request, deadline_s=30, environ=self._environ).ciphertext


THINKS_S = 8.0  # less than a service may take; the agent's first answer comes before it


class Served(Machine):
    """A machine whose keys are in a key service."""

    cloud: Any
    keys: tuple[KeyIn, ...]

    def put_sealed(self) -> None:
        self.put(seal(letter(aws=Statement.GRANTED), list(self.keys), self.sender))


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Return a machine with an instance profile, and a bundle in force that two keys of a service open."""
    with machines(Served) as machine, Stage(machine.folder) as stage:
        machine.cloud, environ, addresses = start_cloud(stage)
        machine.environ |= {**environ, "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": addresses["google-kms"]}
        machine.environ.pop("NO_GCE_CHECK", None)
        machine.environ.pop("AWS_EC2_METADATA_DISABLED", None)
        machine.keys = tuple(KeyIn(name, machine.environ) for name in ("one", "other"))
        for name in ("one", "other"):
            machine.cloud.create_kms_key(KEY.format(name))
        machine.configure(agent={"settle": "1h"}, bundle={"recipient_keys": [key.spec for key in machine.keys]})
        machine.put_sealed()
        yield machine


def begin(machine: Served) -> dict[str, Any]:
    """Start the agent, and return the first set that it answers."""
    machine.process = machine.launch("run", "--config", str(machine.config))
    return machine.until(lambda: machine.ask("set"))


def still_asks(machine: Served) -> bool:
    """Tell whether a helper process waits for an answer."""
    assert machine.process is not None
    return bool(psutil.Process(machine.process.pid).children())


def test_a_first_bundle_is_not_taken_for_absent_while_the_service_thinks(machine: Served) -> None:
    machine.cloud.fault("google-kms", "Decrypt", delay_s=THINKS_S, times=1)
    assert begin(machine)["settled"] is False
    machine.until(lambda: machine.ask("set")["settled"])
    assert machine.value("AWS_SECRET_ACCESS_KEY") == CANARY


def test_the_agent_starts_while_the_service_thinks_and_hands_out_nothing_until_it_has_answered(machine: Served) -> None:
    machine.start()
    machine.stop()
    machine.inbox.unlink()
    machine.cloud.fault("google-kms", "Decrypt", delay_s=THINKS_S, times=1)
    first = begin(machine)
    assert first["settled"] is False
    assert "AWS_ACCESS_KEY_ID" not in first["environment"]
    assert first["environment"]["AWS_EC2_METADATA_DISABLED"] == "true"
    assert machine.status()["state"] == "starting"
    machine.until(lambda: machine.ask("set")["settled"])
    assert machine.value("AWS_SECRET_ACCESS_KEY") == CANARY
    assert machine.status()["slots"]["aws"]["origin"] == "bundle"


def test_a_reload_that_takes_the_key_away_answers_at_once_and_keeps_what_is_held(machine: Served) -> None:
    machine.start()
    _, other = machine.keys
    before = machine.ask("set")
    machine.inbox.unlink()
    machine.cloud.fault("google-kms", "Decrypt", hang=True)
    machine.configure(bundle={"recipient_keys": [other.spec]})
    machine.reload()
    assert machine.ask("set") == before
    machine.until(lambda: still_asks(machine))  # the reload has not waited for that
    machine.cloud.clear_faults()
    machine.until(lambda: not still_asks(machine))
    assert machine.ask("set") == before
