"""Work that goes on for as long as a daemon lives: what an error stops is begun again, and nothing else stops with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.errors import StorageFailed
from shared.limits import STOPPED_AGAIN_S

_log = logging.getLogger(__name__)


def end_if_cancelled(error: BaseException) -> None:
    """Raise CancelledError where this task was told to end and came to an error on its way out.

    To be called first by whoever goes on after any error: a clean-up that fails (`finally`, `async with`, a task group)
    takes the place of the cancellation that it was run for, and nobody cancels a second time.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


async def supervised(
    what: str,
    work: Callable[[], Awaitable[None]],
    ids: Mapping[str, str] | None = None,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Do work to its end, or until cancelled; `what` and `ids` name it in the log.

    It is begun again STOPPED_AGAIN_S after any error, so it has to be able to begin from wherever the error left it. `told`
    is called with `what` after an error that is none of the disk's.
    """
    while True:
        error = await _outcome(what, work)
        if error is None:
            return
        if isinstance(error, StorageFailed):
            _log.warning("%s put off: %s", what, error, extra=ids)
        else:
            _log.error("%s stopped, started again in a second", what, extra=ids, exc_info=error)
            told(what)
        await asyncio.sleep(STOPPED_AGAIN_S)


async def _outcome(what: str, work: Callable[[], Awaitable[None]]) -> Exception | None:
    """Do work in a task of its own; return the error that stopped it.

    So whoever is told to end ends, whatever the work comes to on its way out; and a task group that failed in it, which
    leaves its task marked as told to end (until Python 3.13), marks no other.
    """
    working = asyncio.ensure_future(work())
    if isinstance(working, asyncio.Task):
        working.set_name(what)
    try:
        await asyncio.wait((working,))
    finally:
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    error = working.exception()  # raises CancelledError where somebody else ended it
    if error is not None and not isinstance(error, Exception):
        raise error
    return error
