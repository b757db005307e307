"""Work that goes on for as long as a daemon lives: what an error stops is begun again, and nothing else stops with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.errors import StorageFailed
from shared.limits import STOPPED_AGAIN_S

_log = logging.getLogger(__name__)


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
        try:
            await work()
        except StorageFailed as error:
            _log.warning("%s put off: %s", what, error, extra=ids)
        except Exception:  # noqa: BLE001  # whatever it is, it is logged
            _log.exception("%s stopped, started again in a second", what, extra=ids)
            told(what)
        else:
            return
        await asyncio.sleep(STOPPED_AGAIN_S)
