"""What waited too long is named as lost, with cause, range and count, on both sides (G5, N4, W10)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.rig.client import ApiRefused, until
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import START_MS, NotYet, Stage, open_stage

pytestmark = SAME_LOOP
_RETENTION_DAYS = 3 / 86_400


@pytest_asyncio.fixture(loop_scope="session")
async def short(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A stage where readings wait three seconds, and where few fit into the outbox."""
    flags = {"retention_days": _RETENTION_DAYS}
    async with open_stage(tmp_path_factory.mktemp("short"), site_flags=flags) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["drop_oldest", "refuse_new"])
async def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A stage where few readings fit into the outbox."""
    flags = {"outbox_bytes_max": 65_536, "outbox_full": request.param}
    async with open_stage(tmp_path_factory.mktemp("small"), site_flags=flags) as stage:
        yield stage


async def test_w10_n4_what_is_older_is_named_as_lost_on_both_sides_with_range_and_count(short: Stage) -> None:
    pair = await short.pair()
    await pair.sync("flow")
    await pair.post(10)
    await pair.until_balanced()
    await short.office.daemon.kill()

    async def alone() -> bool:
        return not (await short.plant.connector(pair.source_id))["link"]["peer_linked"]

    # Before, a segment may leave of which the hub keeps a copy; where that arrives before the notice, it is not lost (G1).
    await until(alone, what="the source to hear that the target is away")
    await pair.post(40)
    await pair.post(5, "fan")

    async def given_up() -> Any:
        own = await pair.source.own_account(pair.source_id)
        if own["dropped"] != 45:
            raise NotYet(str(own))
        return own

    own = await until(given_up, what="the source to give up what waited", timeout_s=20)
    assert (own["accepted"], own["applied"], own["queued"], own["dropped"]) == (55, 10, 0, 45)
    assert own["dropped_by_cause"] == {"retention": 45}
    await short.heal()

    async def told() -> Any:
        return await short.office.rows(f"/connectors/{pair.target_id}/gaps")

    theirs = await until(told, what="the target to hear of the gap")
    ours = await short.plant.rows(f"/connectors/{pair.source_id}/gaps")
    for side, whose in ((ours, True), (theirs, False)):
        assert {row["cause"] for row in side} == {"retention"}
        assert all(row["ours"] is whose for row in side)
        assert sum(row["count"] for row in side) == 45
        assert min(row["first_ms"] for row in side) == START_MS + 10
        assert max(row["last_ms"] for row in side) == START_MS + 54
    assert {row["gap_id"] for row in ours} == {row["gap_id"] for row in theirs}
    counts: dict[tuple[str, str], int] = {}
    for gap in theirs:
        for device, resource, count, *_ in gap["rows"]:
            counts[device, resource] = counts.get((device, resource), 0) + count
    assert counts == {("pump", "flow"): 40, ("fan", "flow"): 5}
    await pair.post(10, "new")

    async def balanced() -> bool:
        own = await pair.source.own_account(pair.source_id)
        stated = (await short.office.get(f"/connectors/{pair.target_id}/account"))["stated_by_source"]
        keys = ("accepted", "applied", "queued", "quarantined", "dropped")
        wanted = [65, 20, 0, 0, 45]
        if [own[key] for key in keys] != wanted or [stated[key] for key in keys] != wanted:
            raise NotYet(f"{own}, stated {stated}")
        return True

    await until(balanced, what="the accounts to say the same on both sides")
    assert len(await short.office.readings(pair.target_id, "new", "flow")) == 10


async def test_w10_a_full_outbox_drops_the_oldest_or_refuses_the_newest_as_set(small: Stage) -> None:
    pair = await small.pair()
    await pair.sync("note", "string")
    small.office.proxy.cut()
    await small.hub.kill()
    words: list[str] = []
    for at in range(40):
        try:
            await pair.post(1, resource="note", values=[_incompressible(at)])
        except ApiRefused as refused:
            words.append(f"{refused.code}: {refused}")
    refusals = len(words)
    assert all(told.startswith("outbox_full: The outbox is full (65536 bytes wait") for told in words)
    await small.heal()

    async def settled() -> Any:
        own = await pair.source.own_account(pair.source_id)
        if own["queued"]:
            raise NotYet(str(own))
        return own

    own = await until(settled, what="the outbox to be empty", timeout_s=40)
    assert own["accepted"] == pair.posted_count == 40 - refusals
    assert own["accepted"] == own["applied"] + own["dropped"]
    found = await small.office.readings(pair.target_id, "pump", "note")
    wanted = pair.posted[("pump", "note")]
    assert len(found) == own["applied"] > 0
    assert found.items() <= wanted.items()
    if small.plant.daemon.flags["outbox_full"] == "refuse_new":
        assert refusals
        assert own["dropped"] == 0
        assert found == wanted
    else:
        assert own["dropped"] > 0
        assert max(found) == max(wanted), "the newest were dropped, not the oldest"
        gaps = await small.plant.rows(f"/connectors/{pair.source_id}/gaps")
        assert sum(gap["count"] for gap in gaps) == own["dropped"]


async def test_w10_at_the_cap_a_resource_does_what_was_chosen_for_it_without_a_restart(small: Stage) -> None:
    by_default = str(small.plant.daemon.flags["outbox_full"])
    other = {"drop_oldest": "refuse_new", "refuse_new": "drop_oldest"}[by_default]
    pair = await small.pair()
    await pair.sync("note", "string")
    await pair.sync("alarm", "string")
    resources = f"/connectors/{pair.source_id}/resources"
    changed = await small.plant.ask("PATCH", f"{resources}/alarm", {"overflow": other})
    assert changed["overflow"] == other
    kept, dropped = ("alarm", "note") if by_default == "drop_oldest" else ("note", "alarm")
    small.office.proxy.cut()
    await small.hub.kill()
    for at in range(0, 30, 5):  # more than there is room for, so that the oldest of them give way
        await pair.post(5, resource=dropped, values=[_incompressible(at + each) for each in range(5)])
    refusals: list[tuple[int, str]] = []
    for at in range(0, 30, 5):
        try:
            await pair.post(5, resource=kept, values=[_incompressible(100 + at + each) for each in range(5)])
        except ApiRefused as refused:
            refusals.append((refused.status, refused.code))
    taken = 30 - 5 * len(refusals)
    assert set(refusals) == {(507, "outbox_full")}
    await small.heal()

    async def settled() -> Any:
        rows = await small.plant.rows(f"/connectors/{pair.source_id}/account/resources")
        books = {row["resource"]: row["own"] for row in rows}
        if any(own["queued"] for own in books.values()):
            raise NotYet(str(books))
        return books

    books = await until(settled, what="the outbox to be empty", timeout_s=40)
    assert (books[kept]["accepted"], books[kept]["applied"]) == (taken, taken)
    assert taken > 0
    assert books[kept]["dropped"] == 0
    assert await small.office.readings(pair.target_id, "pump", kept) == pair.posted["pump", kept]
    lost = books[dropped]["dropped"]
    assert 0 < lost == 30 - books[dropped]["applied"]
    found = await small.office.readings(pair.target_id, "pump", dropped)
    assert found == dict(sorted(pair.posted["pump", dropped].items())[lost:]), "others than the oldest were dropped"
    gaps = await small.plant.rows(f"/connectors/{pair.source_id}/gaps")
    assert {(gap["cause"], row[1]) for gap in gaps for row in gap["rows"]} == {("byte_cap", dropped)}
    assert sum(gap["count"] for gap in gaps) == lost


def _incompressible(seed: int) -> str:
    return random.Random(seed).randbytes(4_000).hex()
