"""The packet filter for workers on Google Cloud, in a network that holds the metadata address."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import Network

RULES = Path(__file__).parents[2] / "systemd" / "drop-ins" / "google-metadata.nft"
METADATA, NAMES = 80, 53

CONNECT = """
import socket, sys
try:
    socket.create_connection(("169.254.169.254", int(sys.argv[1])), timeout=5).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
"""
SERVE = """
import socket, sys
with socket.create_server(("169.254.169.254", int(sys.argv[1]))):
    print("listening", flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("google", "name_server")
def test_a_workers_user_gets_a_reset_from_metadata_and_an_answer_from_the_name_server(network: Network) -> None:
    assert [connect(network, port, user) for user in ("nobody", "root") for port in (METADATA, NAMES)] == ["open"] * 4
    rules = RULES.read_text().replace('"dask"', '"nobody"')
    subprocess.run(network.inside("nft", "-f", "-"), input=rules, text=True, check=True)
    assert connect(network, METADATA, "nobody") == "refused"
    assert connect(network, NAMES, "nobody") == "open"
    assert connect(network, METADATA, "root") == "open"


@pytest.fixture
def name_server(network: Network) -> Iterator[None]:
    command = network.inside(sys.executable, "-c", SERVE, str(NAMES))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == b"listening\n"
        yield
        serving.communicate()


def connect(network: Network, port: int, user: str) -> str:
    """Try to connect to the metadata address as `user`; return how it ended."""
    become = ["setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3", "-c", CONNECT, str(port)]
    return subprocess.run(network.inside(*become), capture_output=True, text=True, check=True).stdout.strip()
