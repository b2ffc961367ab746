"""What the loop says of defects: enough to find them, and no text that is not ours."""

import asyncio
import errno

import pytest

from credagent import log
from credagent.daemon import main_loop
from credagent.daemon.main_loop import tell_of_a_defect
from credagent.log_throttle import LogThrottle


def test_a_defect_in_a_callback_is_said_without_its_text(monkeypatch: pytest.MonkeyPatch, canary: str) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr(log, "error", lambda event, **fields: said.append({"event": event, **fields}))
    monkeypatch.setattr(main_loop, "_failures_said", LogThrottle())

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(tell_of_a_defect)
        loop.call_soon(int, canary)
        await asyncio.sleep(0)
        loop.call_soon(lambda: dict[str, str]()[canary])
        await asyncio.sleep(0)

    asyncio.run(story())
    assert [(one["event"], one["kind"]) for one in said] == [
        ("callback_failed", "ValueError"),
        ("callback_failed", "KeyError"),
    ]
    assert canary not in repr(said)
    assert "test_main_loop" in str(said[1]["where"])


def test_a_process_without_free_descriptors_says_so_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "error", lambda event, **_: said.append(event))
    monkeypatch.setattr(main_loop, "_failures_said", LogThrottle())
    with asyncio.Runner() as runner:
        for _ in range(3_000):  # asyncio reports each attempt to accept a connection
            context = {"message": "socket.accept()", "exception": OSError(errno.EMFILE, "too many open files")}
            tell_of_a_defect(runner.get_loop(), context)
    assert said == ["out_of_descriptors"]
