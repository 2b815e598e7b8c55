"""Ending tasks of the event loop for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 2.0


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel, and cancel again until all have ended; what they raise is not of interest any more.

    Once is not enough: a library that uses asyncio.wait_for on Python 3.11 loses a cancellation that arrives together
    with the result it waited for, and goes on.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
