"""botocore reads four variables one after the other. A replacement between two of them must not be kept for long."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.credentials import CredentialResolver, EnvProvider

from credagent.worker import credagent_worker
from credagent.worker.credagent_worker import EXPIRATION, KEYS, NEAR_S, _replace_keys, _set


def stamp(in_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + in_s))


def keys(number: int, expiration: str) -> dict[str, str]:
    return {**{name: f"{name} {number}" for name in KEYS}, EXPIRATION: expiration}


class Interrupting(dict[str, str]):
    """An environment that lets something happen just after `name` was read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.after: dict[str, Callable[[], None]] = {}

    def get(self, name: str, default: Any = None) -> Any:
        value = super().get(name, default)
        self.after.pop(name, lambda: None)()
        return value


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interrupting]:
    environ = Interrupting(keys(1, stamp(60)))  # so near that botocore reads again at every request
    monkeypatch.setattr(os, "environ", environ)
    yield environ
    monkeypatch.undo()


def read(credentials: Any) -> tuple[str, str, str]:
    frozen = credentials.get_frozen_credentials()
    return frozen.access_key, frozen.secret_key, frozen.token


@pytest.mark.parametrize("between", [KEYS[0], KEYS[1], KEYS[2]])
def test_a_reader_that_was_interrupted_reads_again_at_its_next_request(environ: Interrupting, between: str) -> None:
    credentials = CredentialResolver([EnvProvider(environ)]).load_credentials()
    second = keys(2, stamp(3600))
    left: list[str | None] = []
    environ.after[between] = lambda: left.append(_replace_keys(second, second[EXPIRATION]))
    assert read(credentials) != tuple(second[name] for name in KEYS)  # caught in the middle: it holds a mixed set
    assert read(credentials) == tuple(second[name] for name in KEYS)
    assert left == [second[EXPIRATION]]


def test_a_reader_keeps_the_whole_set_once_the_real_expiration_is_there(environ: Interrupting) -> None:
    credentials = CredentialResolver([EnvProvider(environ)]).load_credentials()
    second = keys(2, stamp(3600))
    real = _replace_keys(second, second[EXPIRATION])
    assert real is not None
    read(credentials)
    _set({EXPIRATION: real})
    assert read(credentials) == tuple(second[name] for name in KEYS)
    environ.clear()  # it does not look again
    assert read(credentials) == tuple(second[name] for name in KEYS)


def test_what_is_near_enough_by_itself_needs_no_second_expiration(environ: Interrupting) -> None:
    second = keys(2, stamp(NEAR_S - 60))
    assert _replace_keys(second, second[EXPIRATION]) is None
    assert environ[EXPIRATION] == second[EXPIRATION]


def test_what_is_withdrawn_fails_without_asking_anybody(environ: Interrupting) -> None:
    credentials = CredentialResolver([EnvProvider(environ)]).load_credentials()
    withdrawn = {**dict.fromkeys(KEYS, "withdrawn"), EXPIRATION: "1970-01-01T00:00:00Z"}
    assert _replace_keys(withdrawn, withdrawn[EXPIRATION]) is None
    with pytest.raises(RuntimeError, match="still expired"):
        read(credentials)


def test_the_expiration_comes_first_and_the_keys_in_one_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float]] = []
    monkeypatch.setattr(
        credagent_worker, "_set", lambda values: written.extend((n, sys.getswitchinterval()) for n in values)
    )
    before = sys.getswitchinterval()
    second = keys(2, stamp(3600))
    _replace_keys({"DB": "x", **second}, second[EXPIRATION])
    assert written == [(EXPIRATION, 1.0), ("DB", 1.0), *((name, 1.0) for name in KEYS)]
    assert sys.getswitchinterval() == before
