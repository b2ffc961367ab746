"""The clouds' own client libraries against the real listeners: what they find, keep, and find again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.listening import EMAIL, PATH, TOKEN, Listening, credential_set, listening
from tests.patience import scaled

OWN = frozenset({os.geteuid()})

BOTOCORE = """
import sys, json, botocore.session
credentials = botocore.session.Session().get_credentials()
for line in sys.stdin:
    frozen = credentials.get_frozen_credentials()
    print(json.dumps([frozen.access_key, frozen.secret_key, frozen.token]), flush=True)
"""

GOOGLE_AUTH = """
import sys, json, google.auth, google.auth.transport.requests
from google.auth.compute_engine import _metadata
request = google.auth.transport.requests.Request()
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
for line in sys.stdin:
    credentials.refresh(request) if not credentials.valid or line.strip() == "refresh" else None
    print(json.dumps([type(credentials).__module__, project, credentials.token, credentials.service_account_email,
                      credentials.universe_domain, _metadata.ping(request)]), flush=True)
"""


class Client:
    """A client library in a process of its own, asked line by line."""

    def __init__(self, script: str, environment: dict[str, str]) -> None:
        private = {name: value for name, value in os.environ.items() if name != "NO_GCE_CHECK"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=private | environment,
        )

    def ask(self, line: str = "") -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=scaled(10))


@pytest.fixture
def house() -> Iterator[Listening]:
    with listening(admitted=OWN) as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_botocore_reads_the_endpoint_and_reads_it_again(house: Listening, tmp_path: Path, host: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    client = Client(
        BOTOCORE,
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{host}:{house.port}{PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
        },
    )
    house.current = credential_set(1, lifetime_s=60)  # within botocore's window: it asks at each use
    for generation in (1, 2, 3):
        house.current = credential_set(generation, lifetime_s=60)
        assert client.ask() == [f"ASIA{generation:016}", f"secret-{generation}", f"session-{generation}"]
    client.end()


def test_google_auth_finds_everything_and_refreshes(house: Listening) -> None:
    address = f"127.0.0.1:{house.port}"
    client = Client(
        GOOGLE_AUTH,
        {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address, "GCE_METADATA_MTLS_MODE": "none"},
    )
    for generation in (1, 2):
        house.current = credential_set(generation)
        kind, *found = client.ask("refresh")
        assert kind == "google.auth.compute_engine.credentials"
        assert found == ["project", f"ya29.{generation}", EMAIL, "googleapis.com", True]
    client.end()
