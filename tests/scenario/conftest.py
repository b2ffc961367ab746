"""Worlds for stories, closed after each; and the log, empty at the beginning of each."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credagent import log
from tests.scenario.harness import World
from tests.scenario.key_service import KeyService


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    log._waiting.clear()
    return  # type: ignore[return-value]  # nothing to undo


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """Return a maker of machines that have been started."""
    made: list[World] = []

    def make(*, started: bool = True, patient: bool = True, **how: Any) -> World:
        made.append(World(**how))
        return made[-1].start(patient=patient) if started else made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """Return a machine with both clouds' identities, the default configuration, and no bundle yet."""
    return worlds()


@pytest.fixture
def service() -> KeyService:
    """Return a key service that answers."""
    return KeyService()
