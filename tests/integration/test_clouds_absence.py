"""Machines of neither cloud, and of the other one: absence is found quickly and said quietly.

The metadata services' real address is used, in a network namespace of the test's own that has no way out.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import scaled

ROOT = Path(__file__).parents[2]
UNSHARE = ["unshare", "--net", "--map-root-user"]

PRELUDE = """
import json, subprocess, sys
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import *
from credagent.errors import Unavailable
from tests.patience import scaled
from tests.simulator import Simulator
SETTLE_S = 10.0  # beyond this the first resolution of an agent goes on without
HOME = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
ADDRESS = "169.254.169.254"
def tell(request, deadline_s=scaled(SETTLE_S), **environ):
    try:
        outcome = type(call_blocking(request, deadline_s=deadline_s, environ={**HOME, **environ})).__name__
    except Unavailable as error:
        outcome = error.code
    print(json.dumps(outcome), flush=True)
def run(*command):
    subprocess.run(command, check=True)
"""
LINK_LOCAL = 'run("ip", "link", "set", "lo", "up"); run("ip", "addr", "add", ADDRESS + "/32", "dev", "lo")\n'

AWS, GOOGLE = "AwsMachineIdentity(known_role='dask-node')", "GoogleMachineToken()"


def namespaces_work() -> bool:
    """Tell whether this user may have a network of his own, with an address in it."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not namespaces_work(), reason="needs network namespaces"),
    pytest.mark.skipif(
        Path("/sys/class/dmi/id/sys_vendor").exists()
        and Path("/sys/class/dmi/id/sys_vendor").read_text().startswith(("Amazon", "Google")),
        reason="this machine is a cloud's own, and its firmware says so",
    ),
]


def told(script: str, *more: str) -> list[str]:
    """Run `script` in a network of its own, and `more` (of unshare); return the outcomes.

    What does not come in time for a machine to settle is `timed-out`.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NO_GCE"))}
    environ["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [*UNSHARE, *more, sys.executable, "-c", PRELUDE + script],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(90),
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_machine_without_any_network_has_no_identity() -> None:
    assert told(f"tell({AWS}); tell({GOOGLE})") == ["no-identity", "no-identity"]


def test_a_machine_where_nobody_listens_has_no_identity() -> None:
    assert told(f"{LINK_LOCAL}tell({AWS}); tell({GOOGLE})") == ["no-identity", "no-identity"]


def test_a_laptop_has_no_local_identity() -> None:
    assert told(f"{LINK_LOCAL}tell(AwsLocalIdentity()); tell(GoogleLocalToken())") == ["no-local-identity"] * 2


def test_on_an_amazon_machine_google_is_absent_and_amazon_is_there() -> None:
    serve = 'sim = Simulator(listen={"imds": (ADDRESS, 80)}).start()\n'
    assert told(f"{LINK_LOCAL}{serve}tell({GOOGLE}); tell({AWS})") == ["no-identity", "AwsObtained"]


def test_on_a_google_machine_amazon_is_absent_and_google_is_there() -> None:
    serve = 'sim = Simulator(listen={"google-metadata": (ADDRESS, 80)}).start()\n'
    by_address = f"tell({GOOGLE}, GCE_METADATA_HOST=ADDRESS)"  # no name server here to ask for its name
    assert told(f"{LINK_LOCAL}{serve}tell({AWS}); {by_address}") == ["no-identity", "GoogleObtained"]
