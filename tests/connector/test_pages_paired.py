"""The pages of two sites that pair through a hub: W1 to W5, W7 to W9, as two people without scripts walk them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from shared.limits import DAY_MS, MINUTE_MS
from shared.names import make_code
from tests.connector.visitors import ShiftedClock, Two, Visitor, two_sites, until, visitor
from web import pairing_text


def path_of(connector_id: str) -> str:
    return f"/connectors/{connector_id}"


async def standalone(found: Visitor, name: str = "Pump house") -> str:
    return (await found.create(name)).split("/")[-1]


async def shows(found: Visitor, path: str, words: str) -> str:
    """Wait until a page shows these words; return its text."""

    async def asked() -> str:
        text = await found.get(path)
        return text if words in text else ""

    return str(await until(asked, f"{path} to show {words!r}"))


def wrong_code(right: str) -> str:
    """Return a code without a typing error that is not the right one."""
    return next(code for number in range(3) if (code := make_code(bytes([number] * 5))) != right)


@asynccontextmanager
async def stream(found: Visitor, path: str) -> AsyncIterator[AsyncIterator[str]]:
    """Open an update stream; what it yields are its lines."""
    async with found.http.stream("GET", path, timeout=30) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.aiter_lines()


async def hears(lines: AsyncIterator[str], words: str) -> None:
    """Read on until a line has these words."""
    async with asyncio.timeout(20):
        async for line in lines:
            if words in line:
                return
    raise AssertionError(f"the stream ended without {words!r}")


# --- pairing ------------------------------------------------------------------------------------------------------------


async def test_the_source_shows_what_to_type_and_for_how_long(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        page = f"{path_of(source_id)}/remote-sync"
        assert "ENABLE REMOTE-SYNC" in await two.source.get(page)

        pasted = await two.open_window(source_id)

        found = pairing_text.parse(pasted)
        text = await two.source.get(page)
        assert "window open" in text
        assert "9 min 59 s left" in text or "10 min left" in text
        assert f"Site name hillside Copy Connector ID {source_id} Copy Code {found.code} Copy" in text
        html = (await two.source.http.get(page)).text
        assert "data:image/svg+xml" in html
        assert pasted.strip() in html
        assert "10 min left" in await two.source.get("/connectors") or "9 min left" in await two.source.get(
            "/connectors"
        )


async def test_an_expired_window_says_so_and_offers_another(tmp_path: Path) -> None:
    clock = ShiftedClock()
    async with visitor(tmp_path, clock=clock, hub_url="http://127.0.0.1:9", window_minutes=4.0) as found:
        page = f"{path_of(await standalone(found))}/remote-sync"
        assert "a short code for 4 min;" in await found.get(page)
        await found.post(f"{page}/enable")
        clock.ahead_ms = 3 * MINUTE_MS
        assert "Filing the window at the hub." in await found.get(page)

        clock.ahead_ms = 4 * MINUTE_MS

        assert "The window expired with no claim." in await found.get(page)
        await found.post(f"{page}/enable")
        assert "expired" not in await found.get(page)


async def test_a_window_is_closed_by_its_owner_and_opened_only_once(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        page = f"{path_of(source_id)}/remote-sync"
        await two.open_window(source_id)
        assert "A pairing window is open already" in await two.source.post(f"{page}/enable", 409)

        await two.source.post(f"{page}/close")

        assert "The window is closed; its code is worthless now." in await two.source.get(page)
        assert "ENABLE REMOTE-SYNC" in await two.source.get(page)


async def test_one_paste_pairs_and_both_sides_show_the_same_fingerprint(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        target_id = await two.pair(source_id)

        pair = two.source.site.pair(source_id)
        assert pair is not None
        for found, own_id, peer, role, way in (
            (two.source, source_id, "riverside", "Source", "Sends to riverside"),
            (two.target, target_id, "hillside", "Target", "Receives from hillside"),
        ):
            text = await shows(found, f"{path_of(own_id)}/remote-sync", "connected via hub")
            assert way in text
            assert f"Fingerprint {pair.fingerprint}" in text
            listed = await found.get("/connectors")
            assert role in listed
            assert peer in listed


async def test_a_paired_connector_is_neither_disabled_nor_deleted(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        target_id = await two.pair(source_id)

        for found, own_id, peer in ((two.source, source_id, "riverside"), (two.target, target_id, "hillside")):
            settings = f"{path_of(own_id)}/settings"
            for page in (settings, f"{path_of(own_id)}/remote-sync"):
                text = await found.get(page)
                assert f"Paired with {peer}, which depends on it. Parting needs both sides." in text
                assert (await found.http.get(page)).text.count("disabled>") == 2
            words = "A paired connector can be neither disabled nor deleted"
            assert words in await found.post(f"{path_of(own_id)}/disable", 409)
            assert words in await found.post(f"{path_of(own_id)}/delete", 409, confirmed="yes")
            assert "already paired" in await found.post(f"{path_of(own_id)}/remote-sync/enable", 409)
            await found.post(f"{path_of(own_id)}/remote-sync/cancel")
            assert found.site.pair(own_id) is not None


async def test_a_wrong_code_is_said_beside_its_field_and_the_third_closes_the_window(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        right = pairing_text.parse(await two.open_window(source_id)).code
        fields = {"is_target": "on", "peer_site_name": "hillside", "peer_connector_id": source_id}

        text = await two.target.post("/connectors", 422, **fields, code=right[:-1] + ("A" if right[-1] != "A" else "B"))
        assert "its check symbol does not fit. No attempt was used up." in text
        for left in (2, 1):
            text = await two.target.post("/connectors", 403, **fields, code=wrong_code(right))
            assert f"The code is wrong ({left} attempts left)." in text
        assert "1 wrong code will close it" in await two.source.get(f"{path_of(source_id)}/remote-sync")
        text = await two.target.post("/connectors", 403, **fields, code=wrong_code(right))
        assert "closed after three wrong codes" in text

        assert "Three wrong codes closed the window." in await two.source.get(f"{path_of(source_id)}/remote-sync")
        assert await two.target.site.connectors() == []


async def test_where_the_site_asks_for_it_a_person_accepts_the_claimant(tmp_path: Path) -> None:
    async with two_sites(tmp_path, accept_pairings=True) as two:
        source_id = await standalone(two.source)
        page = f"{path_of(source_id)}/remote-sync"
        pasted = await two.open_window(source_id)
        way = await two.target.post("/connectors", is_target="on", pasted=pasted)

        text = await shows(two.source, page, "has the right code. Compare the fingerprint with its page, then accept.")
        assert "Accept Refuse" in text
        await shows(two.target, way, "The source's operator has not accepted this pairing yet.")
        await two.source.post(f"{page}/accept")

        await shows(two.source, page, "Sends to riverside")
        await shows(two.target, way, "Receives from hillside")


async def test_a_claimant_who_is_refused_leaves_nothing(tmp_path: Path) -> None:
    async with two_sites(tmp_path, accept_pairings=True) as two:
        source_id = await standalone(two.source)
        page = f"{path_of(source_id)}/remote-sync"
        pasted = await two.open_window(source_id)
        way = await two.target.post("/connectors", is_target="on", pasted=pasted)
        await shows(two.source, page, "then accept")
        await two.source.post(f"{page}/refuse")

        await shows(two.source, page, "ENABLE REMOTE-SYNC")
        await shows(two.target, way, "The operator of the source declined this pairing.")
        await two.source.post(f"{page}/accept")
        assert "There is no such pairing to accept." in await two.source.get(page)


async def test_a_pending_target_can_be_given_up(tmp_path: Path) -> None:
    async with two_sites(tmp_path, accept_pairings=True) as two:
        source_id = await standalone(two.source)
        pasted = await two.open_window(source_id)
        way = await two.target.post("/connectors", is_target="on", pasted=pasted)
        assert "Cancel this pairing" in await two.target.get(way)

        assert await two.target.post(f"{way}/cancel") == "/connectors"

        assert await two.target.site.connectors() == []


async def test_a_claim_without_a_window_names_the_remedy(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        pasted = pairing_text.write("hillside", "AAAA-AAAA", make_code(b"12345"))

        text = await two.target.post("/connectors", 404, is_target="on", pasted=pasted)

        assert "press ENABLE REMOTE-SYNC there if its countdown has ended" in text
        assert (
            'value="AAAA-AAAA"'
            in (await two.target.http.post("/connectors", data={"is_target": "on", "pasted": pasted})).text
        )


# --- what flows ---------------------------------------------------------------------------------------------------------


async def post_readings(two: Two, source_id: str, count: int, first_ms: int = 1_000) -> None:
    body = "\n".join(
        f'{{"device": "pump-1", "resource": "pressure", "timestamp": {first_ms + at}, "value": {at}.5}}'
        for at in range(count)
    )
    outcome = await two.source.site.ingest(source_id, body.encode())
    assert outcome.accepted == count


async def test_a_synchronised_resource_is_missed_created_and_received(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="pump-1", name="Pump 1")
        target = path_of(await two.pair(source_id))
        link = f'<a href="{source}/resources">Switch Remote-Sync on for a resource</a>'
        assert link in (await two.source.http.get(source)).text
        await two.source.post(f"{source}/resources", alias="pressure", format="number", unit="bar", is_synced="on")
        await post_readings(two, source_id, 25)

        text = await shows(
            two.source, f"{source}/resources", "missing at riverside; its readings wait until it exists there"
        )
        assert "0 1970" not in text
        assert "Resource missing at riverside" in await two.source.get(source)
        await shows(two.target, f"{target}/resources", "hillside sends it, and it does not exist here")
        assert "Resource missing here" in (page := await two.target.get(target))
        assert "Create here what the source sends" in page
        await two.target.post(f"{target}/resources/pressure/create-here")

        await shows(two.target, f"{target}/resources", "pressure number bar received 24.5 bar")
        assert "Nothing needs your attention." in (page := await two.target.get(target))
        assert "readings flow to the left" in page
        page = await shows(two.source, source, "25 25 0 0 0 balances")
        assert "hillside source, this side 25 25" in page
        page = await shows(two.target, target, "both sides count the same as applied")
        assert "hillside source, as stated" in page
        assert "riverside target, this side 25 25 0 0 0 balances" in page


async def test_a_resource_that_differs_names_what_differs(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        await two.source.post(f"{path_of(source_id)}/resources", alias="p", format="number", unit="kPa", is_synced="on")
        target = path_of(await two.pair(source_id))
        await two.target.post(f"{target}/resources", alias="p", format="number", unit="bar")

        await shows(two.source, f"{path_of(source_id)}/resources", "unit differs: kPa here, bar at riverside")
        await shows(two.target, f"{target}/resources", "unit differs: bar here, kPa at hillside")
        assert "Resource differs from hillside's" in await two.target.get(target)


async def test_the_target_does_not_decide_what_is_sent(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        target = path_of(await two.pair(await standalone(two.source)))
        await two.target.post(f"{target}/resources", alias="p", format="number", is_synced="on")

        await two.target.post(f"{target}/resources/p/remote-sync", is_synced="on")

        text = await two.target.get(f"{target}/resources")
        assert "The source decides what is sent: switch it there." in text
        assert "this site only" in text


async def test_devices_and_tags_are_looked_up_live_and_edited_from_both_sides(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="pump-1", name="Pump 1")
        target = path_of(await two.pair(source_id))

        await shows(two.target, f"{target}/devices/pump-1", "Edits applied on both")
        await shows(two.target, f"{target}/devices", "live from hillside,")
        assert "live from riverside," in await two.source.get(f"{source}/devices")
        await two.target.post(f"{target}/devices/pump-1/tags", name="floor", value="2")
        assert "Tag “floor” added here, on its way to hillside." in await two.target.get(f"{target}/devices/pump-1")

        await shows(two.source, f"{source}/devices/pump-1", "floor 2 applied on both")
        await shows(two.target, f"{target}/devices/pump-1", "floor 2 applied on both")
        await two.source.post(f"{source}/devices/pump-1/tags/remove", name="floor", value="2")
        await shows(two.target, f"{target}/devices/pump-1", "No tag yet.")


async def test_without_the_peer_the_last_good_copy_is_shown_and_edits_wait(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="pump-1", name="Pump 1")
        target = path_of(await two.pair(source_id))
        await shows(two.target, f"{target}/devices/pump-1", "Edits applied on both")
        await shows(two.target, f"{target}/devices", "live from hillside,")
        await two.hub.stop()

        text = await shows(two.target, f"{target}/devices", "last good copy,")
        assert "reconnecting" in text
        assert "readings wait at hillside" in await two.target.get(target)
        await shows(two.target, "/hub", "The hub cannot be reached")
        await two.target.post(f"{target}/devices/pump-1/tags", name="floor", value="2")

        text = await two.target.get(f"{target}/devices/pump-1")
        assert "floor 2 pending" in text
        assert "Tag “floor” added here, waiting until hillside can be reached." in text
        answer = await two.target.http.get("/readyz")
        assert answer.status_code == 503
        assert "its link to the hub is down" in answer.text


# --- update streams -----------------------------------------------------------------------------------------------------


async def test_an_open_page_follows_the_claim_and_the_readings(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="pump-1")
        await two.source.post(f"{source}/resources", alias="pressure", format="number", is_synced="on")
        async with stream(two.source, f"{source}/updates?page=remote_sync") as lines:
            await hears(lines, "ENABLE REMOTE-SYNC")
            target = path_of(await two.pair(source_id))
            await hears(lines, "Sends to")
        await two.target.post(f"{target}/resources", alias="pressure", format="number")
        async with (
            stream(two.source, f"{source}/updates?page=overview") as at_source,
            stream(two.target, f"{target}/updates?page=device&device=pump-1") as at_target,
        ):
            await hears(at_source, 'id="account"')
            await hears(at_target, 'id="values"')
            await post_readings(two, source_id, 7)
            await hears(at_source, "<b>7</b>")
            await hears(at_target, "6.5")


async def test_every_page_with_a_stream_has_one_that_answers(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = path_of(await standalone(found))
        await found.post(f"{path}/devices", identity="pump-1")
        pages = ["", "/devices", "/devices/pump-1", "/resources", "/gaps", "/settings", "/remote-sync"]
        for page in ["/connectors", *(path + each for each in pages)]:
            html = (await found.http.get(page)).text
            url = html.partition('hx-sse:connect="')[2].partition('"')[0].replace("&amp;", "&")
            assert url, page
            async with stream(found, url) as lines:
                await hears(lines, "data: beat")


async def test_a_stream_says_that_its_session_has_ended(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = path_of(await standalone(found))
        async with stream(found, f"{path}/updates?page=overview") as lines:
            await hears(lines, "data: beat")
            await found.post("/logout")
            await hears(lines, "event: end")


async def test_a_stopping_site_waits_for_no_open_page(tmp_path: Path) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        loop = asyncio.get_running_loop()
        async with visitor(tmp_path) as found:
            path = path_of(await standalone(found))
            url = f"{found.running.url}{path}/updates?page=overview"
            http.cookies.update(found.http.cookies)
            request = http.build_request("GET", url)
            response = await http.send(request, stream=True)
            lines = response.aiter_lines()
            await hears(lines, "data: beat")
            asked_s = loop.time()
        assert loop.time() - asked_s < 5
        assert "event: end" not in [line async for line in lines]


async def test_a_stream_ends_with_its_connector(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = path_of(await standalone(found))
        async with stream(found, f"{path}/updates?page=overview") as lines:
            await hears(lines, "data: beat")
            await found.post(f"{path}/delete", confirmed="yes")
            async with asyncio.timeout(10):
                rest = [line async for line in lines]
        assert "event: end" not in rest  # the session is as it was; asking again says what is gone
        await found.get(f"{path}/updates?page=overview", 404)


# --- gaps ---------------------------------------------------------------------------------------------------------------


async def test_a_gap_is_named_on_both_sides(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        source = path_of(source_id)
        await two.source.post(f"{source}/devices", identity="pump-1")
        await two.source.post(f"{source}/resources", alias="pressure", format="number", is_synced="on")
        target = path_of(await two.pair(source_id))
        assert "No gap" in await two.source.get(f"{source}/gaps")
        await post_readings(two, source_id, 12, first_ms=two.source.site.clock.wall_ms() - 1_000)
        await shows(two.source, f"{source}/resources", "missing at riverside")

        await give_up_all(two, source_id)

        text = await shows(two.source, f"{source}/gaps", "both sides know")
        assert "1 gap, 12 readings in all" in text
        assert "older than 30 days pump-1: pressure (12)" in text
        assert "hillside source, this side" in text
        text = await shows(two.target, f"{target}/gaps", "1 gap, 12 readings in all")
        assert "hillside source, the other side" in text
        assert "Dropped: 12 older than 30 days" in await two.source.get(source)


async def give_up_all(two: Two, source_id: str) -> None:
    """Let the source's engine live through 31 days in a moment, without a clock that anybody would doubt."""
    runner = two.source.site.runtime(source_id).runner
    assert runner is not None
    await runner.run(lambda engine, store, now_ms: (None, engine.on_deadline(store, now_ms + 31 * DAY_MS)))
