"""Several coroutines at once, without what `asyncio.TaskGroup` leaves behind in older Pythons.

A TaskGroup ends its own task's waiting by `task.cancel()`. Before Python 3.13, a child that fails while the group's
`__aexit__` waits leaves that request pending: `task.cancelling()` stays at 1 after the group has raised. From then on
`asyncio.timeout` of Python 3.11.2 (Debian 12) takes each of its own time-outs in that task for a cancellation from
outside, and raises CancelledError where TimeoutError was due. So a task that goes on after a group has failed must not
have used a TaskGroup. Here the children are waited for with `asyncio.wait`, which cancels nobody, and the error of the
first that fails is raised as it is, not in a group.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Work = Coroutine[Any, Any, None]


async def run_all(*work: Work) -> None:
    """Run all to their ends. The first that fails ends the others, and its error is raised."""
    await _run(work, asyncio.FIRST_EXCEPTION)


async def run_until_first_ends(*work: Work) -> None:
    """Run all until one of them ends, and end the others. Raises its error if it failed."""
    await _run(work, asyncio.FIRST_COMPLETED)


async def for_each(items: Iterable[Item], do: Callable[[Item], Awaitable[None]], *, at_once: int) -> None:
    """Call `do` for each item, for at most `at_once` of them at a time. The first error ends the rest."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:  # shared: each item is taken by one
            await do(item)

    await run_all(*(work() for _ in range(at_once)))


async def _run(work: tuple[Work, ...], until: str) -> None:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=until)
        failed = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failed is not None:
        failed.result()
