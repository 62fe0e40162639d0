"""Who was cancelled: the task that waits for a call, or the call alone.

grpc.aio raises CancelledError for both: a call is cancelled also by the end of its channel.
"""

import asyncio


def cancelled_from_outside() -> bool:
    """Whether the current task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def end_if_cancelled() -> None:
    """Goes on if a call alone was cancelled.

    Raises:
        asyncio.CancelledError: the task that waits for it is to end.
    """
    if cancelled_from_outside():
        raise asyncio.CancelledError
