from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.patience import scaled
from tests.simulator import Simulator

ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=scaled(10), read_timeout=scaled(5))


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as started:
        yield started


@pytest.fixture
def client(sim: Simulator) -> Callable[..., Any]:
    """Return a maker of boto3 clients: `client("s3", keys)` with keys as the simulator or STS hand them out."""

    def make(service: str, keys: dict[str, Any]) -> Any:
        maker: Any = boto3.client
        return maker(
            service,
            endpoint_url=sim.addresses()[service],
            region_name="eu-central-1",
            aws_access_key_id=keys.get("access_key_id") or keys["AccessKeyId"],
            aws_secret_access_key=keys.get("secret_access_key") or keys["SecretAccessKey"],
            aws_session_token=keys.get("session_token") or keys.get("SessionToken") or keys.get("Token"),
            config=ONCE,
        )

    return make
