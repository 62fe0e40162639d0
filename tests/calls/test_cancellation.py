"""calls/cancellation: a task that waits for a call is told apart from the call."""

import asyncio

import pytest

from orion_registry.calls.cancellation import cancelled_from_outside, end_if_cancelled


async def test_a_task_that_is_cancelled_knows_it() -> None:
    waits = asyncio.Event()

    async def wait() -> str:
        try:
            await asyncio.wait_for(waits.wait(), 60.0)
        except asyncio.CancelledError:
            assert cancelled_from_outside()
            end_if_cancelled()
        return "went on"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_where_the_call_alone_was_cancelled_its_task_goes_on() -> None:
    call = asyncio.get_running_loop().create_future()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not cancelled_from_outside()
    end_if_cancelled()
