"""The operator's page of a hub with many sites: what it shows of each, searching, turning pages, the audit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from hub.serve import RunningHub, running_hub
from hub.store.sqlite import SqliteStore
from shared.clock import SystemClock
from shared.limits import AUDIT_ROWS_MAX, OPERATOR_ROWS_MAX
from shared.messages import Sealed
from tests.hub.builders import TestPair, TestSite, make_copy
from tests.hub.client import Denied, SiteClient, both_linked, enrolled
from tests.hub.test_links import a_pair
from tests.hub.test_pages import DATA, a_browser, set_up, settings
from tests.hub.test_relay import sealed

# One hub for all: filling it and making its first user take longer than most of these tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")
PAIRS_COUNT = 2 * OPERATOR_ROWS_MAX + 1


@dataclass
class Desk:
    """An operator at a hub that knows many sites, none of which is linked."""

    running: RunningHub
    browser: httpx2.AsyncClient

    async def look(self, url: str = "/operator", **query: str) -> str:
        """The HTML of a page."""
        return (await self.browser.get(url, params=query or None)).text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("operator")
    await fill(folder / DATA)
    async with running_hub(settings(folder)) as running, a_browser(running) as browser:
        await set_up(browser, folder / DATA)
        yield Desk(running, browser)


async def fill(data_dir: Path) -> None:
    """Leave a database as a hub has it after a long time: many pairs, of which the first has a copy waiting."""
    data_dir.mkdir(parents=True)
    store = await SqliteStore.open(data_dir)
    for n in range(PAIRS_COUNT):
        pair = TestPair(
            TestSite(f"works {n:03}"), TestSite(f"board {n:03}"), n.to_bytes(16, "big"), f"SRC-{n:03}", f"TGT-{n:03}"
        )
        await store.enrol_site(pair.source.row(), token_digest=None, now_ms=1)
        await store.enrol_site(pair.target.row(), token_digest=None, now_ms=1)
        await store.register_pair(pair.certificate, pair.packed, now_ms=1)
        if n == 0:
            # Of now: the hub lets go of what is older than its copy_days, after a few seconds.
            copy = make_copy(1, pair_id=pair.pair_id, arrived_ms=SystemClock().wall_ms())
            await store.store_copies(pair.pair_id, [copy])
    await store.close()


def card(page: str, name: str) -> str:
    """The text of one card, without markup."""
    found = re.search(rf'<section id="hub-{name}".*?</section>', page, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]*>", " ", found[0]).split())


def next_url(page: str, name: str) -> str:
    """Where a card's list goes on."""
    found = re.search(rf'<section id="hub-{name}".*?href="([^"]*)" rel="next"', page, re.DOTALL)
    assert found is not None
    return found[1].replace("&amp;", "&")


async def test_long_lists_are_cut_into_pages_by_key(desk: Desk) -> None:
    page = await desk.look()
    assert f"{2 * PAIRS_COUNT} sites" in card(page, "sites")
    shown = [re.findall(r"SRC-\d+", card(page, "pairs"))]
    for _ in range(2):
        page = await desk.look(next_url(page, "pairs"))
        shown.append(re.findall(r"SRC-\d+", card(page, "pairs")))
    assert [len(rows) for rows in shown] == [OPERATOR_ROWS_MAX, OPERATOR_ROWS_MAX, 1]
    assert list(chain(*shown)) == [f"SRC-{n:03}" for n in range(PAIRS_COUNT)]
    assert "Next page" not in card(page, "pairs")
    # The other lists stay where they are while one is turned over, and the update stream is about the same rows.
    both = await desk.look(next_url(page, "sites"))
    assert card(both, "pairs") == card(page, "pairs")
    assert card(both, "sites") != card(page, "sites")
    assert re.search(r'hx-sse:connect="/operator/updates\?sites=[^"]+&amp;pairs=', both)


async def test_one_search_finds_a_site_with_its_links_and_pairs_whatever_the_case(desk: Desk) -> None:
    found = await desk.look(search="WORKS 007")
    assert f"1 of {2 * PAIRS_COUNT} sites" in card(found, "sites")
    assert "board 007" in card(found, "pairs")
    assert "SRC-007" in card(found, "connectors")
    nothing = await desk.look(search="<script>")
    assert "Nothing here matches" in card(nothing, "sites")
    assert "<script>" not in nothing.partition("<main")[2]


async def test_the_update_stream_brings_the_rows_that_were_searched_for(desk: Desk) -> None:
    async with asyncio.timeout(10), desk.browser.stream("GET", "/operator/updates?search=works+007") as stream:
        async for line in stream.aiter_lines():
            assert "works 008" not in line
            if "search=works%20007" in line:
                break


async def test_pairs_that_are_not_well_are_found_with_what_waits_and_the_first_view_knows_what_moved(
    desk: Desk,
) -> None:
    well = await a_pair(desk.running)
    async with both_linked(well, desk.running.url) as (left, right):
        trouble = await desk.look(state="trouble")
        none = await desk.look(search=well.source.name, state="trouble")
        everything = await desk.look(search=well.source.name)
        # Nobody acknowledges these: after a moment the hub keeps copies, and the pair is not well any more.
        await left.say(*(sealed(number) for number in range(1, 21)))
        for _ in range(20):
            await right.hear(Sealed)
        moving = await desk.look(search=well.source.name)
    assert f"{PAIRS_COUNT} of {PAIRS_COUNT + 1} pairs" in card(trouble, "pairs")
    assert "not linked" in card(trouble, "pairs")
    assert "306 B 1 copy queued" in card(trouble, "pairs")
    assert "Nothing here matches" in card(none, "sites")
    assert "Nothing here matches" in card(none, "pairs")
    assert "2 of" in card(everything, "figures")
    assert "306 B of the 4.0 GiB" in card(everything, "figures")
    assert "2 linked" not in card(everything, "sites")
    assert "1 linked key" in card(everything, "sites")
    assert "protocol 1" in card(everything, "sites")
    moved = re.search(r"([\d.]+) (?:KiB|B)/s ([\d.]+) segments/s", card(moving, "pairs"))
    assert moved is not None
    assert float(moved[1]) > 0
    assert float(moved[2]) > 0


async def test_who_was_turned_away_stands_on_the_page_with_reason_and_address(desk: Desk) -> None:
    plant = await enrolled(desk.running, "plant")
    for _ in range(2):
        with pytest.raises(Denied, match="assertion_refused"):
            async with SiteClient(TestSite("x", plant.site.site_id), desk.running.url).linked("SRC1-SRC1"):
                pass
    page = await desk.look()
    assert "Link: assertion refused 2" in card(page, "blocked")
    assert "127.0.0.1 says to be plant Link assertion refused 2" in card(page, "blocked")


async def test_the_audit_is_turned_over_by_key_newest_first(desk: Desk) -> None:
    for n in range(AUDIT_ROWS_MAX + 1):
        await desk.running.hub.store.add_audit(at_ms=n, who="admin", where="::1", action="token.make", what=f"no {n}.")
    assert f"no {AUDIT_ROWS_MAX}." in card(await desk.look(), "audit")
    first = await desk.look("/operator/audit")
    assert card(first, "audit").index(f"no {AUDIT_ROWS_MAX}.") < card(first, "audit").index("no 1.")
    assert "hub.set_up" not in first
    older = await desk.look(next_url(first, "audit"))
    assert re.findall(r"no \d+\.|hub\.set_up", card(older, "audit")) == ["no 0.", "hub.set_up"]
