"""Buckets that are mounted on a machine: read through one mount over many sessions."""

import json
import os
import pwd
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.demo.stage import Stage, clean_environment, start_cloud
from tests.deployments import pages
from tests.deployments.conftest import BUCKET, DATA, FIRST_LINE, KEY
from tests.deployments.person import ACCOUNT, Person
from tests.deployments.reader import following
from tests.integration.agents import Machine, machine
from tests.integration.metadata_address import Cloud, Space, content, space
from tests.integration.test_interception import OF_TESTS, Node
from tests.patience import scaled
from tests.simulator.remote import Remote

__all__ = ["machine", "space"]

GOOGLE_BUCKET = "my-data"  # the page's
SESSION_S = 20
SESSIONS = 2
S3FS_READS = 12

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("account")]  # one agent for one user


@pytest.fixture
def fuse(folder: Path) -> Iterator[None]:
    """Let every user mount, as udev does; what is still mounted below `folder` after a test is left."""
    device = Path("/dev/fuse")
    if not device.exists():
        pytest.skip("this machine has no FUSE")
    mode = stat.S_IMODE(device.stat().st_mode)
    device.chmod(0o666)
    yield
    device.chmod(mode)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if (mounted := line.split()[1]).startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mounted], check=True)


class Clouds:
    """A machine in both clouds, whose sessions are short."""

    def __init__(self, stage: Stage) -> None:
        self.remote: Remote
        self.remote, environ, addresses = start_cloud(stage)
        self.remote.put_object(BUCKET, KEY, DATA)
        self.remote.put_object(GOOGLE_BUCKET, KEY, DATA, store="gcs")
        for service in ("imds", "google-metadata"):
            self.remote.expire_after(service, SESSION_S)
        self.environ = {
            **{name: value for name, value in environ.items() if name != "AWS_CA_BUNDLE"},
            # Where the simulator is; the page's configuration names the clouds themselves.
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ENDPOINT": addresses["s3"],
            "RCLONE_CONFIG_GCS_ENDPOINT": f"{addresses['gcs']}/storage/v1/",
        }

    def sessions(self, service: str) -> int:
        """Return with how many different credentials objects were asked for."""
        return len(self.remote.ids_used(service))


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with Stage(tmp_path) as stage:
        yield Clouds(stage)


def test_the_page_leads_to_the_first_read_and_each_mount_outlives_its_sessions(
    folder: Path, clouds: Clouds, fuse: None
) -> None:
    del fuse
    person = Person(folder, {**clouds.environ, "CREDAGENT_ENDPOINT_LISTEN": "127.0.0.1:0"})
    with following(pages.read("buckets-as-folders"), person, {}, {"apt-get": _is_installed}) as said:
        assert said.splitlines() == [FIRST_LINE, FIRST_LINE]

        def has_outlived() -> bool:
            again = person.types(f"cat {BUCKET}/{KEY} {GOOGLE_BUCKET}/{KEY}")
            assert again.stdout == 2 * DATA, "what is mounted is read at every moment"
            return clouds.sessions("s3") > SESSIONS and clouds.sessions("gcs") > SESSIONS

        _until(has_outlived)


# Mounted, read and left by one process tree: what is mounted in a namespace is seen there alone.
S3FS = """
{command} -o url={s3} -o endpoint=eu-central-1 -o use_path_request_style || exit 1
for read in $(seq {reads}); do
  cat {folder}/{key} || exit 1
  sleep {pause_s}
done
fusermount -u {folder}
"""


def test_s3fs_asks_the_metadata_address_where_the_agent_answers(space: Space, machine: Machine, fuse: None) -> None:
    del fuse
    cloud = Cloud(space, machine.folder, "imds")
    cloud.control("put_object", bucket=BUCKET, key=KEY, data=DATA)
    cloud.control("expire_after", service="imds", seconds=SESSION_S)
    account = pwd.getpwnam(ACCOUNT)  # fusermount wants one that has a name
    node = Node(space, machine)
    node.configure(users=[ACCOUNT])
    node.load()
    node.start()
    folder = machine.folder / BUCKET
    folder.mkdir()
    os.chown(folder, account.pw_uid, account.pw_gid)
    (command,) = re.findall("`(s3fs my-bucket [^`]+)`", pages.read("buckets-as-folders").text)
    pause_s = SESSIONS * SESSION_S / S3FS_READS
    addresses = json.loads(content(machine.folder / "cloud.json"))["addresses"]
    script = S3FS.format(command=command, s3=addresses["s3"], reads=S3FS_READS, folder=BUCKET, key=KEY, pause_s=pause_s)
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    environ = {name: value for name, value in clean_environment().items() if name not in OF_TESTS}
    done = subprocess.run(
        [*space.enter, *become, "sh", "-c", script],
        cwd=machine.folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(SESSIONS * SESSION_S + 60),
    )
    assert (done.returncode, done.stdout) == (0, S3FS_READS * DATA), done.stderr


def _is_installed(line: str) -> None:
    for package in line.split()[3:]:
        subprocess.run(["dpkg", "--status", package], check=True, stdout=subprocess.DEVNULL)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + scaled((SESSIONS + 3) * SESSION_S)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
