"""One house for all walks that leave it as they found it; each walk begins with everything up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.house import House, Visits, open_house

# Daemons, proxies and the browser live on one event loop, so the walks do too.
PATIENCE_MS = 30_000


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    expect.set_options(timeout=PATIENCE_MS)
    async with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def house(_house: House) -> House:
    """Hub, plant and office, all up, set up and with nobody's attempts counted."""
    await _house.stage.heal()
    _house.stage.shift_clocks(61_000)  # the hub lets a site claim twenty times a minute
    return _house


@pytest_asyncio.fixture(loop_scope="session")
async def visits(house: House) -> AsyncIterator[Visits]:
    """Open pages; when the test ends, no console may have complained."""
    visits = Visits(house)
    yield visits
    await visits.close()
