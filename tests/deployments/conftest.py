"""Fixtures of the deployments: a simulated cloud with private data, and somebody who may read it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.stage import Stage, start_cloud
from tests.deployments.person import Person
from tests.simulator.remote import Remote

BUCKET, KEY = "my-bucket", "private.csv"  # what the pages read
FIRST_LINE = "x,y"
DATA = f"{FIRST_LINE}\n1,2\n"
CLOSED = {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true", "CREDAGENT_GOOGLE_HANDOVER": "off"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that other users can enter, with a name short enough for a Unix socket."""
    found = Path(tempfile.mkdtemp(prefix="ca-d-", dir="/tmp"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator["SimulatedCloud"]:
    """Return a simulated cloud with one private object."""
    with Stage(tmp_path) as stage:
        yield SimulatedCloud(stage)


@pytest.fixture
def person(folder: Path, cloud: "SimulatedCloud") -> Person:
    """Return somebody who reads that object from his own machine, by a long-term key."""
    found = Person(folder, {**cloud.environ, **CLOSED})
    found.has_identity(cloud.user["access_key_id"], cloud.user["secret_access_key"])
    return found


class SimulatedCloud:
    """The simulator as a process: its controls, and the variables that point SDKs at it."""

    def __init__(self, stage: Stage, *options: str) -> None:
        self.remote: Remote
        self.remote, environ, _addresses = start_cloud(stage, *options)
        self.user = self.remote.create_user("ana")
        self.remote.create_bucket(BUCKET)
        self.remote.put_object(BUCKET, KEY, DATA)
        self.environ = {name: value for name, value in environ.items() if name.startswith("AWS_")}

    def readers(self, since: int = 0) -> list[str]:
        """Return which credentials were used to read, in the order of their first use."""
        return list(self.remote.ids_used("s3", "GetObject", since=since))
