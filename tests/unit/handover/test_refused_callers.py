"""Who was refused is counted by user, the latest last, and never without bound."""

from datetime import UTC, datetime

import pytest

from credagent import log
from credagent.handover.refused_callers import MOST_USERS, RefusedCallers

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_each_user_is_counted_and_said_once() -> None:
    refused = RefusedCallers(lambda: NOW)
    for uid in (7, 8, 7):
        refused.refuse(uid)
    assert [(one.uid, one.count, one.at) for one in refused.known()] == [(8, 1, NOW), (7, 2, NOW)]


def test_who_was_refused_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, **_: said.append(event))
    refused = RefusedCallers(lambda: NOW)
    for uid in range(MOST_USERS + 1):
        refused.refuse(uid)
    assert [one.uid for one in refused.known()] == list(range(1, MOST_USERS + 1))
    assert len(said) == MOST_USERS + 1
