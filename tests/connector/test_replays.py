"""*Send this range again* as people and programs at either side meet it (N9, page 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from connector.resources import NewResource
from shared.limits import HOUR_MS, SECOND_MS
from tests.connector.site_stage import line
from tests.connector.test_pages_paired import shows
from tests.connector.visitors import Two, Visitor, two_sites, until


async def api(found: Visitor, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """Ask the API as the person who is logged in."""
    answer = await found.http.request(method, f"/api/v1/connectors/{path}", content=msgspec.json.encode(body))
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def streaming(two: Two, now_ms: int) -> tuple[str, str]:
    """Pair; the source has 200 readings of before its Remote-Sync was switched on. Return the connectors' IDs."""
    connector = await two.source.site.create_connector("pumps", creates_devices=True)
    source_id = connector.connector_id
    await two.source.site.create_resource(source_id, NewResource(alias="flow", format="number"))
    body = b"\n".join(line("pump", "flow", float(at), now_ms - HOUR_MS + at * SECOND_MS) for at in range(200))
    assert (await two.source.site.ingest(source_id, body)).accepted == 200
    target_id = await two.pair(source_id)
    await two.target.site.create_resource(target_id, NewResource(alias="flow", format="number"))
    await two.source.site.set_remote_sync(source_id, "flow", on=True)
    await two.source.site.ingest(source_id, line("pump", "flow", -1.0, now_ms))
    page = f"/connectors/{target_id}/resources/flow"
    await shows(two.target, page, "-1")
    return source_id, target_id


async def ended(found: Visitor, path: str) -> Any:
    """Wait until a replay is over; return it."""

    async def over() -> Any:
        replay = await api(found, "GET", path)
        return replay if replay["state"] in ("done", "cancelled", "refused") else None

    return await until(over, "the replay to end")


async def test_n9_page7_both_sides_ask_for_a_range_again_and_see_what_became_of_it(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        now_ms = two.source.site.clock.wall_ms()
        source_id, target_id = await streaming(two, now_ms)
        page = f"/connectors/{target_id}/resources/flow"
        html = (await two.target.http.get(page)).text
        assert 'name="from" type="datetime-local"' in html
        assert "Nothing was sent again yet." in html

        await two.target.post(f"{page}/replay", 303, **{"from": "2020-01-01T00:00", "to": "", "device": "pump"})
        text = await shows(two.target, page, "done")
        assert "flow of pump done 201 201 200 1" in text
        text = await shows(two.source, f"/connectors/{source_id}/replays", "done")
        assert "flow of pump done 201 201 200 1" in text
        assert "at riverside" in text

        # A program at the source; everything is there by now.
        made = await api(two.source, "POST", f"{source_id}/replays", {"from_ms": now_ms - 2 * HOUR_MS})
        replay = await ended(two.source, f"{source_id}/replays/{made['replay_id']}")
        assert [replay[name] for name in ("asked", "sent", "arrived", "added", "present")] == [201, 201, 201, 0, 201]
        there = await ended(two.target, f"{target_id}/replays/{made['replay_id']}")
        assert there == replay
        account = await api(two.source, "GET", f"{source_id}/account")
        assert account["own"]["accepted"] == account["own"]["applied"] == 1

        # The wrong, beside their fields; and what is not there.
        wrong = {"from": "2026-01-02T00:00", "to": "2026-01-01T00:00", "device": ""}
        assert "it is a time after the first one" in await two.target.post(f"{page}/replay", 422, **wrong)
        wrong = {"from": "2026-01-01T00:00", "to": "", "device": "nobody"}
        assert "no device 'nobody'" in await two.source.post(f"/connectors/{source_id}/replays", 422, **wrong)
        await api(two.source, "DELETE", f"{source_id}/replays/{made['replay_id']}", status=404)
        refused = await api(
            two.target, "POST", f"{target_id}/replays", {"from_ms": now_ms - HOUR_MS, "resources": ["x"]}, 422
        )
        assert refused["code"] == "unknown_resource"

        # The source takes the right away: the target's ask comes back refused, in words.
        await two.source.post(f"/connectors/{source_id}/sharing/rights", look_up="on")
        made = await api(two.target, "POST", f"{target_id}/replays", {"from_ms": now_ms - HOUR_MS})
        refused = await ended(two.target, f"{target_id}/replays/{made['replay_id']}")
        assert (refused["state"], refused["reason"]) == ("refused", "replay_not_allowed")
        assert "does not let this one ask for readings again" in await two.target.get(page)
        audit = (await two.source.http.get("/api/v1/audit?limit=20")).json()["rows"]
        assert "refused to replay: replay_not_allowed" in [row["what"] for row in audit]
