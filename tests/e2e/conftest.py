"""One stage for all tests that leave it as they found it; each test begins with everything up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from tests.e2e.stage import Stage, open_stage

# Daemons and proxies live on one event loop, so tests of the stage do too.
SAME_LOOP: Final = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.e2e]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("stage"), shifted=True) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def stage(_stage: Stage) -> Stage:
    """A hub, plant and office, all up."""
    await _stage.heal()
    return _stage
