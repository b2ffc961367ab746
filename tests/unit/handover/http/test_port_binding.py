"""Ports are taken whole or not at all; a taken port is an error, a missing IPv6 is information."""

import socket

import pytest

from credagent.config import Address
from credagent.errors import ConfigurationError
from credagent.handover.http.port_binding import address_of, bind, preferred

ANY = (Address("127.0.0.1", 0), Address("::1", 0))


def close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def test_port_zero_is_one_free_port_for_all_addresses() -> None:
    sockets = bind(ANY)
    assert len({address_of(one).port for one in sockets}) == 1
    assert preferred(sockets).host == "127.0.0.1"
    assert not any(one.getblocking() for one in sockets)
    close(sockets)


def test_a_taken_port_is_an_error_and_keeps_nothing() -> None:
    (holder,) = bind((Address("127.0.0.1", 0),))
    taken = address_of(holder)
    with pytest.raises(ConfigurationError) as refused:
        bind((Address("::1", taken.port), taken))
    assert refused.value.code == "port-taken"
    close(bind((Address("::1", taken.port),)))  # what was bound before the failure was given back
    holder.close()


def test_a_missing_ipv6_is_information() -> None:
    sockets = bind((Address("127.0.0.1", 0), Address("2001:db8::1", 0)))  # an address that this machine has not
    assert [address_of(one).host for one in sockets] == ["127.0.0.1"]
    close(sockets)


def test_sockets_of_the_service_manager_are_used_as_they_are() -> None:
    given = bind((Address("127.0.0.1", 0),))
    assert bind(ANY, given=given) == given
    close(given)


def test_a_socket_that_is_open_to_the_network_is_refused() -> None:
    with socket.socket() as wide:
        wide.bind(("0.0.0.0", 0))  # noqa: S104  what is refused here
        with pytest.raises(ConfigurationError) as refused:
            bind(ANY, given=[wide])
    assert refused.value.code == "not-loopback"
