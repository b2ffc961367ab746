"""What runs together ends together, and leaves the task that waited as it was."""

import asyncio
from pathlib import Path

import pytest

import credagent
from credagent.task_groups import for_each, run_all, run_until_first_ends

PACKAGE = Path(credagent.__file__).parent
ENDS_WITH_ITS_GROUP = {
    "daemon/main_loop.py": "a task that fails ends the agent",
    "daemon/failed_start.py": "what fails while a failed start is told ends the process",
}


async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("first")


async def never(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


def test_the_first_error_ends_the_others_and_is_raised_as_it_is() -> None:
    async def story() -> None:
        ended: list[str] = []
        with pytest.raises(ValueError, match="first"):
            await run_all(never(ended), fails(), never(ended))
        assert ended == ["ended", "ended"]

    asyncio.run(story())


def test_the_first_that_ends_ends_the_others() -> None:
    async def story() -> None:
        ended: list[str] = []
        await run_until_first_ends(never(ended), asyncio.sleep(0))
        assert ended == ["ended"]

    asyncio.run(story())


def test_a_failed_child_leaves_no_cancellation_that_a_later_time_out_would_take_for_its_own() -> None:
    """In Python 3.11.2 a TaskGroup does: `asyncio.timeout` then raises CancelledError instead of TimeoutError."""

    async def story() -> None:
        task = asyncio.current_task()
        assert task is not None
        for run in (run_all, run_until_first_ends):
            with pytest.raises(ValueError, match="first"):
                await run(fails(), never([]))
            assert task.cancelling() == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()

    asyncio.run(story())


def test_a_task_group_is_used_only_where_its_task_ends_with_it() -> None:
    found = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "asyncio.TaskGroup(" in path.read_text()
    }
    assert found == set(ENDS_WITH_ITS_GROUP)


def test_who_is_cancelled_while_waiting_ends_what_runs() -> None:
    async def story() -> None:
        ended: list[str] = []
        waiting = asyncio.create_task(run_all(never(ended)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == ["ended"]

    asyncio.run(story())


def test_each_item_is_done_once_and_no_more_than_so_many_at_a_time() -> None:
    async def story() -> None:
        running, most, done = 0, 0, list[int]()

        async def do(item: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            done.append(item)

        await for_each(range(10), do, at_once=3)
        await for_each([], do, at_once=3)
        assert (sorted(done), most) == (list(range(10)), 3)

    asyncio.run(story())
