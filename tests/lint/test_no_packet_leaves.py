"""The guard of the whole run: a test that would reach beyond this machine is stopped before the packet is sent."""

import os
import socket

import pytest

from tests.patience import scaled


def test_a_metadata_address_is_not_reached() -> None:
    with pytest.raises(PermissionError), socket.socket() as connection:
        connection.connect(("169.254.169.254", 80))


def test_a_name_is_not_asked_for() -> None:
    with pytest.raises(PermissionError):
        socket.getaddrinfo("metadata.google.internal", 80)


def test_loopback_is_reached() -> None:
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=scaled(1)).close()


def test_nothing_of_the_developer_is_left_in_the_environment() -> None:
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
    assert os.environ["NO_GCE_CHECK"] == "true"
    assert {name for name in os.environ if name.startswith("AWS_")} == {"AWS_EC2_METADATA_DISABLED"}
    assert not os.path.exists(os.path.expanduser("~/.aws"))
