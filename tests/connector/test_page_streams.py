"""How soon an open page looks again at what costs much (W9)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from connector.pages import resources


class _Clock:
    """A clock that each look takes so far on."""

    def __init__(self, look_ms: int) -> None:
        self.now_ms = 0
        self.look_ms = look_ms

    def monotonic_ms(self) -> int:
        return self.now_ms


@pytest.mark.parametrize(("look_ms", "again_ms"), [(20, 400), (60_000, resources.LOOK_AGAIN_MS_MAX)])
async def test_w9_a_list_of_resources_is_looked_at_again_soon_however_long_one_look_took(
    monkeypatch: pytest.MonkeyPatch, look_ms: int, again_ms: int
) -> None:
    clock, looks = _Clock(look_ms), list[int]()

    async def find(*_: Any) -> Any:
        looks.append(clock.now_ms)
        clock.now_ms += clock.look_ms
        return SimpleNamespace(rows=[])

    async def look() -> Any:
        return SimpleNamespace(resources=[])

    async def shell(*_: Any) -> None:
        return None

    monkeypatch.setattr(resources, "_find", find)
    monkeypatch.setattr(resources, "_table", lambda *_: ())
    monkeypatch.setattr(resources, "frame_parts", lambda _: ())
    visit: Any = SimpleNamespace(look=look, shell=shell, site=SimpleNamespace(clock=clock))
    parts = resources.live()
    await parts(visit)
    ended_ms = clock.now_ms
    for after_ms, count in ((again_ms - 1, 1), (again_ms, 2)):
        clock.now_ms = ended_ms + after_ms
        await parts(visit)
        assert len(looks) == count
