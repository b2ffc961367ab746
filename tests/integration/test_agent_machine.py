"""The machine's own AWS identity in a running agent, against a cloud in another process; and what others can see of it.

The secrets are the simulator's; the agent's log is searched for them here.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from credagent.credentials import Statement
from tests.canary import CANARY
from tests.demo.stage import Stage, start_cloud
from tests.integration.agents import Machine, machines
from tests.integration.letters import letter

LIFETIME_S = 6
NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


class Instance(Machine):
    """A machine in a cloud."""

    cloud: Any


@pytest.fixture
def instance() -> Iterator[Machine]:
    """Return a machine with an instance profile, in a cloud of its own."""
    with machines(Instance) as machine, Stage(machine.folder) as stage:
        machine.cloud, environ, *_ = start_cloud(stage)
        aws = {name: value for name, value in environ.items() if name.startswith("AWS_")}
        machine.environ |= {**aws, "NO_GCE_CHECK": "true"}
        yield machine


def test_it_is_resolved_and_renewed_under_workers(instance: Instance) -> None:
    instance.cloud.expire_after("imds", LIFETIME_S)
    instance.start()
    seen = []
    with instance.connection() as agent:
        seen.append(agent.ask("subscribe", role="worker"))
        while len(seen) < 3:
            seen.append(agent.hear())
    keys = [one["environment"]["AWS_ACCESS_KEY_ID"] for one in seen]
    assert len(set(keys)) == 3
    assert [one["generation"] - seen[0]["generation"] for one in seen] == [0, 1, 2]
    slot = instance.status()["slots"]["aws"]
    assert (slot["origin"], slot["renewable"], slot["statement"]) == ("aws-metadata", True, None)
    assert "assumed-role/dask-node/" in slot["principal"]
    assert slot["renew_at"] < slot["expires_at"]
    secrets = {one["environment"][name] for one in seen for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    assert not [secret for secret in secrets if secret in instance.said()]


def test_a_bundle_takes_over_and_gives_back(instance: Instance) -> None:
    instance.start()
    assert instance.status()["slots"]["aws"]["origin"] == "aws-metadata"
    instance.put(instance.sealed(letter(aws=Statement.GRANTED)))
    instance.until(lambda: instance.value("AWS_SECRET_ACCESS_KEY") == CANARY)
    instance.put(instance.sealed(letter()))
    instance.until(lambda: instance.status()["slots"]["aws"]["origin"] == "aws-metadata")
    assert instance.value("AWS_SECRET_ACCESS_KEY") not in (None, CANARY)
    changes = [
        (event["before"], event["origin"]) for event in instance.events("origin_changed") if event["slot"] == "aws"
    ]
    assert changes == [("none", "aws-metadata"), ("aws-metadata", "bundle"), ("bundle", "aws-metadata")]


def test_a_renewal_that_fails_changes_nothing_and_is_shown(instance: Instance) -> None:
    instance.start()
    before = instance.ask("set")
    instance.cloud.fault("imds", "credentials", status=500)
    assert instance.run("renew", "aws", "--config", str(instance.config)).returncode == 1
    assert instance.ask("set") == before
    status = instance.status()
    assert (status["state"], status["slots"]["aws"]["last_error"]["code"]) == ("degraded", "service-error")
    assert status["slots"]["aws"]["last_error"]["failures"] >= 1
    instance.cloud.clear_faults()
    instance.cloud.rotate_instance()
    done = instance.run("renew", "aws", "--config", str(instance.config))
    assert (done.returncode, done.stdout) == (0, "aws: renewed\n")
    assert instance.status()["state"] == "ready"
    assert instance.value("AWS_ACCESS_KEY_ID") != before["environment"]["AWS_ACCESS_KEY_ID"]


def test_what_expired_is_never_handed_out_while_renewal_fails(instance: Instance) -> None:
    instance.cloud.expire_after("imds", LIFETIME_S)
    instance.start()
    instance.cloud.fault("imds", status=500)
    with instance.connection() as agent:
        first = agent.ask("subscribe", role="worker")
        lost = agent.hear()
        assert "AWS_SECRET_ACCESS_KEY" in first["environment"]
        assert "AWS_SECRET_ACCESS_KEY" not in lost["environment"]
        instance.cloud.clear_faults()
        again = agent.hear()
    assert "AWS_SECRET_ACCESS_KEY" in again["environment"]


def test_metadata_that_hangs_does_not_hold_up_answers_nor_the_bundle(instance: Instance) -> None:
    instance.cloud.fault("imds", hang=True)
    instance.configure(agent={"settle": "1h"})  # what settles the agent is the bundle, not the time
    instance.launch("run", "--config", str(instance.config))
    instance.until(lambda: instance.ask("set"))
    assert instance.ask("set")["settled"] is False
    assert instance.ask("deliver", bundle=instance.sealed(letter(aws=Statement.GRANTED)))["ok"]
    assert instance.value("AWS_SECRET_ACCESS_KEY") == CANARY
    assert instance.ask("set")["settled"] is True


def test_run_once_and_env_resolve_it_too(instance: Instance) -> None:
    done = instance.run("env", "--config", str(instance.config))
    assert "AWS_ACCESS_KEY_ID" in done.stdout.split()
    assert not instance.run_dir.exists()
    assert not instance.state_dir.exists()
    instance.configure(aws={"required": True})
    assert instance.once().returncode == 0
    assert "AWS_SESSION_TOKEN=" in instance.worker_env.read_text()
    instance.cloud.instance(mode="no-role")
    assert instance.once().returncode == 69


# ---- what others can see


def test_no_sdk_stays_in_the_agents_process(instance: Instance) -> None:
    process = instance.start(PYTHONVERBOSE="1")
    assert instance.status()["slots"]["aws"]["origin"] == "aws-metadata"
    loaded = {name.partition(".")[0] for name in re.findall(r"^import '([\w.]+)'", instance.said(), re.MULTILINE)}
    assert {"credagent", "asyncio"} <= loaded
    assert not loaded & {"boto3", "botocore", "google", "requests", "urllib3", "s3transfer"}
    assert not psutil.Process(process.pid).children()


def test_the_helper_has_no_secret_in_argv_or_environment_and_is_gone_afterwards(instance: Instance) -> None:
    instance.cloud.expire_after("imds", LIFETIME_S)
    process = psutil.Process(instance.start().pid)
    instance.cloud.fault("imds", "credentials", hang=True)
    (helper,) = instance.until(process.children)
    instance.until(lambda: helper.cmdline()[1:] == ["-I", "-m", "credagent.cloud_helper"])
    environ = helper.environ()
    assert not [name for name in environ if name.startswith("CREDAGENT_")]
    assert instance.value("AWS_SECRET_ACCESS_KEY") not in environ.values()
    assert os.getsid(helper.pid) == helper.pid
    assert Path(f"/proc/{helper.pid}/limits").read_text().count("Max core file size        0                    0") == 1
    instance.cloud.clear_faults()
    instance.until(lambda: not process.children())


def test_agent_leaves_no_core_and_has_no_secret_in_what_ps_shows(instance: Instance) -> None:
    instance.put(instance.sealed(letter(aws=Statement.GRANTED)))
    process = instance.start()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    for name in ("cmdline", "environ"):
        assert CANARY.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()


@root
def test_another_process_of_its_own_user_reads_neither_memory_nor_environment(instance: Instance) -> None:
    """Without CAP_SYS_PTRACE even the same user is refused, since the agent is non-dumpable."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    process = instance.start()
    program = (
        "import sys\n"
        "for name in ('mem', 'environ', 'maps'):\n"
        "    try:\n"
        "        open(sys.argv[1] + name, 'rb').read(1)\n"
        "        print(name, 'read')\n"
        "    except PermissionError:\n"
        "        print(name, 'refused')\n"
    )
    capless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    done = subprocess.run(
        [*capless, sys.executable, "-I", "-c", program, f"/proc/{process.pid}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["mem", "refused", "environ", "refused", "maps", "refused"]
