"""A hub that is back is found at once by everybody who waits for it, and is asked by one."""

from __future__ import annotations

import asyncio

import pytest

from connector import hub_watch
from connector.hub_watch import HubWatch
from shared.errors import LinkLost, Refused


class Hub:
    """A hub that fails so many looks, and then answers (or refuses)."""

    def __init__(self, failures: int, refuses: bool = False) -> None:
        self.failures = failures
        self.refuses = refuses
        self.looks = 0

    async def look(self) -> None:
        self.looks += 1
        if self.looks <= self.failures:
            raise LinkLost("nobody there")
        if self.refuses:
            raise Refused("hub_not_trusted", why="expired")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_watch, "HUB_LOOK_EVERY_S", 0.002)


async def test_all_who_wait_go_on_when_the_hub_answers_and_one_look_serves_them_all() -> None:
    hub = Hub(failures=3)
    watch = HubWatch(hub.look)
    assert await asyncio.gather(*(watch.wait(30) for _ in range(20))) == [True] * 20
    assert hub.looks == 4
    hub.failures = 5
    assert await watch.wait(30)  # and the next time it is away, it is looked at afresh
    assert hub.looks == 6


async def test_a_hub_that_stays_away_is_waited_for_no_longer_than_asked_and_then_left_alone() -> None:
    hub = Hub(failures=10**6)
    watch = HubWatch(hub.look)
    assert not await watch.wait(0.05)
    assert hub.looks > 0
    async with asyncio.timeout(5):  # nothing is left that could ask
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


async def test_a_hub_that_refuses_is_not_looked_at_in_haste() -> None:
    hub = Hub(failures=0, refuses=True)
    assert not await HubWatch(hub.look).wait(0.05)
    assert hub.looks == 1
