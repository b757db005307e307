"""How long the oldest reading waits, on every surface of both sites, while a target holds it (G9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.pages import samples
from shared.core import health
from shared.limits import CLOCK_JUMP_MS_MAX, SECOND_MS
from tests.connector.test_stalled import Eye, Pair, a_pair, nothing_sealed_goes_up
from tests.connector.visitors import Visitor, until

_AGE_S = 100


async def one_is_held(pair: Pair) -> None:
    """Let a reading be under way while the target changes its resource."""
    await pair.until_both("connected", has_canary=True)
    pair.proxy.on_frame = nothing_sealed_goes_up
    await pair.take(1_000)
    target = pair.two.target
    await target.post(f"/connectors/{pair.target.connector_id}/resources/flow", format="string")
    pair.proxy.on_frame = None
    pair.proxy.drop()

    async def is_held() -> bool:
        both = (pair.two.source, pair.source), (target, pair.target)
        books = [await found.site.books(eye.connector_id) for found, eye in both]
        return all(each.own is not None and each.own.held == 1 for each in books)

    await until(is_held, "the reading to be held")


async def says_the_age(found: Visitor, eye: Eye) -> None:
    """Look at status, API, measures, probe and pages once the age is told."""

    async def is_told() -> bool:
        flow, repairs = await eye.status()
        return (flow["oldest_unapplied_s"] or 0) > _AGE_S and "held_near_retention" in repairs

    await until(is_told, f"{eye.connector_id} to say how old the oldest is")
    said = await eye.look()
    (probed,) = said.ready_body["connectors"]
    ages_s = [
        said.flow["oldest_unapplied_s"],
        said.measure("pairhub_oldest_unapplied_seconds"),
        probed["oldest_unapplied_s"],
    ]
    assert all(_AGE_S < each < _AGE_S + 60 for each in ages_s)
    assert "oldest waits 1 min" in said.pill_page or "oldest waits 2 min" in said.pill_page
    overview = await found.get(f"/connectors/{eye.connector_id}")
    assert "oldest unapplied reading: 1 min" in overview or "oldest unapplied reading: 2 min" in overview
    assert "Held readings are about to expire" in said.repairs_page


async def test_g9_how_old_the_oldest_is_that_a_target_holds_is_said_at_both_sides_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "CANARY_EVERY_S", 0.1)
    monkeypatch.setattr(health, "RETENTION_MS", _AGE_S * SECOND_MS)
    async with a_pair(tmp_path) as pair:
        await one_is_held(pair)
        pair.clock.ahead_ms += _AGE_S * SECOND_MS
        both = [(pair.two.source, pair.source), (pair.two.target, pair.target)]
        for found, eye in both:
            await says_the_age(found, eye)
        at_source = await pair.two.source.get(f"/connectors/{pair.source.connector_id}")
        assert "Held at the other side until their device or resource exists there." in at_source
        at_target = await pair.two.target.get(f"/connectors/{pair.target.connector_id}")
        assert "30-day limit reached in" in at_target
        # A machine that was off for hours: nothing expires until its clock is explained, and the age is said all the same.
        for found, eye in both:
            now_ms = pair.clock.wall_ms()
            found.site.guard.on_start(now_ms, now_ms - 2 * CLOCK_JUMP_MS_MAX)
            flow, _ = await eye.status()
            assert found.site.guard.in_doubt
            assert flow["oldest_unapplied_s"] > _AGE_S
