"""Parting on purpose, over real daemons (G16, N11): asked at one side, agreed at the other, whatever goes down meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.rig.client import ApiRefused, pair, until
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Paired, Site, Stage

pytestmark = SAME_LOOP


async def part(site: Site, connector_id: str) -> dict[str, Any]:
    return dict(await site.get(f"/connectors/{connector_id}/part"))


async def until_state(site: Site, connector_id: str, wanted: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any]:
        found = await part(site, connector_id)
        if found["state"] != wanted:
            raise NotYet(f"{found['state']}, wanted {wanted}")
        return found

    return dict(await until(reached, timeout_s=30, every_s=0.05, what=f"{site.name} to be {wanted}"))


async def code_of(site: Site, method: str, path: str, body: Any = None) -> str:
    with pytest.raises(ApiRefused) as caught:
        await site.ask(method, path, body)
    return str(caught.value.code)


async def paired_with_readings(stage: Stage) -> Paired:
    """Return a pair through which ten readings went."""
    two = await stage.pair()
    await two.sync("flow")
    await two.post(10)
    await two.until_balanced()
    return two


async def pair_again(stage: Stage, source: Site, source_id: str, target: Site) -> None:
    """Pair two sites anew and see a reading arrive."""
    async with source.client() as a, target.client() as b:
        target_id = await pair(a, source_id, b, f"again {source_id} {target.name}")
    again = Paired(source, source_id, target, target_id)
    await target.post(f"/connectors/{target_id}/resources", {"alias": "flow", "format": "number"})
    await again.until_match(source, source_id, "flow", "same")
    again._next_ms += 1_000
    await again.post(5)
    await again.until_balanced()
    assert len(await target.readings(target_id, "pump", "flow")) == 5


async def test_n11_two_sides_part_by_asking_and_agreeing_and_may_pair_again(stage: Stage) -> None:
    two = await paired_with_readings(stage)
    source, target = f"/connectors/{two.source_id}", f"/connectors/{two.target_id}"
    assert await code_of(stage.plant, "POST", f"{source}/part/agree", {}) == "not_found"

    asked = await stage.plant.post(f"{source}/part", {})
    assert asked["state"] == "asked_here"
    assert await code_of(stage.plant, "POST", f"{source}/part", {}) == "part_asked"
    assert await code_of(stage.plant, "DELETE", source) == "still_paired"
    heard = await until_state(stage.office, two.target_id, "asked_there")
    assert heard["asked_ms"] is not None

    # No and back again: nothing came of either, and readings flow as before.
    await stage.office.post(f"{target}/part/decline")
    assert (await until_state(stage.plant, two.source_id, "together"))["declined_ms"] is not None
    await stage.plant.post(f"{source}/part", {})
    await until_state(stage.office, two.target_id, "asked_there")
    await stage.plant.ask("DELETE", f"{source}/part")
    await until_state(stage.office, two.target_id, "together")
    assert await code_of(stage.office, "POST", f"{target}/part/agree", {}) == "not_found"
    await two.post(5)
    await two.until_balanced()

    await stage.office.post(f"{target}/part", {})
    await until_state(stage.plant, two.source_id, "asked_there")
    await stage.plant.post(f"{source}/part/agree", {})
    for site, connector_id in ((stage.plant, two.source_id), (stage.office, two.target_id)):
        parted = (await until_state(site, connector_id, "parted"))["parted"]
        assert (parted["account"]["accepted"], parted["account"]["applied"], parted["flushed"]) == (15, 15, False)
        shown = await site.connector(connector_id)
        assert (shown["role"], shown["pair"]) == ("standalone", None)
        assert len(await site.readings(connector_id, "pump", "flow")) == 15

    await stage.office.post(f"{target}/readings", b'{"device":"pump","resource":"flow","value":1}')
    await pair_again(stage, stage.plant, two.source_id, stage.office)
    await stage.office.ask("DELETE", target)


async def test_n11_a_flush_leaves_a_target_empty_and_a_source_what_is_its_own(stage: Stage) -> None:
    two = await paired_with_readings(stage)
    source, target = f"/connectors/{two.source_id}", f"/connectors/{two.target_id}"
    await stage.office.post(f"{target}/devices", {"identity": "theirs", "name": "Made at office"})
    await stage.office.ask("POST", f"{target}/devices/pump/tags", {"name": "by", "value": "office"})
    await stage.plant.ask("POST", f"{source}/devices/pump/tags", {"name": "by", "value": "plant"})

    async def in_step() -> bool:
        rows = await stage.plant.rows(f"{source}/devices")
        tags = {tag[1] for row in rows for tag in row["tags"]}
        return {row["identity"] for row in rows} == {"pump", "theirs"} and tags == {"office", "plant"}

    await until(in_step, timeout_s=20, what="the edits of both sides")
    await stage.plant.post(f"{source}/part", {"flush": True})
    await until_state(stage.office, two.target_id, "asked_there")
    await stage.office.post(f"{target}/part/agree", {"flush": True})
    await until_state(stage.plant, two.source_id, "parted")
    await until_state(stage.office, two.target_id, "parted")

    assert await stage.office.rows(f"{target}/devices") == []
    assert await stage.office.rows(f"{target}/resources") == []
    assert await stage.office.rows(f"{target}/changes") == []
    rows = await stage.plant.rows(f"{source}/devices")
    assert [(row["identity"], [tag[1] for tag in row["tags"]]) for row in rows] == [("pump", ["plant"])]
    assert len(await stage.plant.readings(two.source_id, "pump", "flow")) == 10
    await stage.office.ask("DELETE", target)


async def test_n11_what_waits_is_said_before_and_counted_as_dropped_after(stage: Stage) -> None:
    two = await paired_with_readings(stage)
    source, target = f"/connectors/{two.source_id}", f"/connectors/{two.target_id}"
    await two.sync("level", at_target=False)
    await two.post(7, resource="level")  # held back: the target has no such resource
    await stage.office.post(f"{target}/part", {})
    seen = await until_state(stage.plant, two.source_id, "asked_there")
    assert seen["waits"] == {"queued": 7, "held": 0, "quarantined": 0, "pending_edits": 0}

    # Office hears of it only after it was away; plant is killed right after its word.
    await stage.office.daemon.kill()
    bodies = [b'{"device":"pump","resource":"flow","timestamp":%d,"value":1}' % at for at in range(1, 41)]
    posts = [stage.plant.post(f"{source}/readings", body) for body in bodies]
    posted, agreed = posts[:20], stage.plant.post(f"{source}/part/agree", {})
    outcomes = await asyncio.gather(*posted, agreed, *posts[20:], return_exceptions=True)
    await stage.plant.daemon.kill()
    await stage.heal()

    parted = (await until_state(stage.plant, two.source_id, "parted"))["parted"]
    account = parted["account"]
    given_up = account["dropped_by_cause"]["parted"]
    assert 7 <= given_up <= 47
    assert (account["accepted"], account["applied"]) == (10 + given_up, 10)
    gaps = await stage.plant.rows(f"{source}/gaps")
    assert [(gap["cause"], gap["count"]) for gap in gaps] == [("parted", given_up)]
    await until_state(stage.office, two.target_id, "parted")
    # What was accepted while the pair ended is here, and what was refused was told to come again.
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {getattr(each, "code", each) for each in refused} <= {"parted_meanwhile"}
    kept = await stage.plant.readings(two.source_id, "pump", "flow")
    assert len(kept) == 10 + len(bodies) - len(refused)
    assert len(await stage.office.readings(two.target_id, "pump", "flow")) == 10


async def test_n11_a_side_that_was_off_line_is_asked_and_a_hub_that_forgot_learns_it_anew(stage: Stage) -> None:
    two = await paired_with_readings(stage)
    source, target = f"/connectors/{two.source_id}", f"/connectors/{two.target_id}"
    stage.office.proxy.cut()
    await stage.plant.post(f"{source}/part", {})
    stage.office.proxy.mend()
    await until_state(stage.office, two.target_id, "asked_there")

    # The certificate is made while nobody can hear of it: until the hub knows, the connector stays.
    stage.office.proxy.cut()
    await stage.office.post(f"{target}/part/agree", {})
    assert (await part(stage.office, two.target_id))["state"] == "agreed"
    assert await code_of(stage.office, "DELETE", target) == "parting_untold"
    assert (await part(stage.plant, two.source_id))["state"] == "asked_here"
    await stage.hub.kill()
    for file in stage.hub.data_dir.glob("hub.db*"):
        file.unlink()
    await stage.heal()

    await until_state(stage.office, two.target_id, "parted")
    await until_state(stage.plant, two.source_id, "parted")
    await pair_again(stage, stage.plant, two.source_id, stage.office)
