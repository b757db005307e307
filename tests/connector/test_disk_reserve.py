"""The reserve of a disk: readings leave it alone, all other work may use it (N6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.resources import NewResource
from shared.errors import Refused
from tests.connector.site_stage import NOON_MS, line, lone_site, make_connector
from tests.connector.visitors import two_sites, until

_MORE_THAN_THERE_IS = 2**60


async def test_n6_no_reading_is_taken_below_the_reserve_and_edits_are(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        connector_id = await make_connector(site)
        site.reserve.reserve_bytes = _MORE_THAN_THERE_IS
        with pytest.raises(Refused) as caught:
            await site.ingest(connector_id, line("pump", "flow", 1.0, NOON_MS))
        assert (caught.value.code, caught.value.status, caught.value.retryable) == ("disk_reserve", 507, True)
        assert "disk_reserve_bytes" in site.storage_problem
        await site.add_tag(connector_id, "pump", "area", "north")
        site.reserve.reserve_bytes = 0
        assert (await site.ingest(connector_id, line("pump", "flow", 1.0, NOON_MS))).accepted == 1
        assert site.storage_problem == ""


async def test_n6_a_target_below_its_reserve_takes_no_segment_keeps_its_link_and_catches_up(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source, target = two.source.site, two.target.site
        source_id = (await source.create_connector("pumps", creates_devices=True)).connector_id
        target_id = await two.pair(source_id)
        for site, connector_id in ((source, source_id), (target, target_id)):
            await site.create_resource(connector_id, NewResource(alias="flow", format="number"))
        await source.set_remote_sync(source_id, "flow", on=True)
        target.reserve.reserve_bytes = _MORE_THAN_THERE_IS

        async def same() -> bool:
            return (await source.resources(source_id))[0].match == "same"

        await until(same, "the target's resource to be known")
        assert (await source.ingest(source_id, line("pump", "flow", 1.0, NOON_MS))).accepted == 1
        await source.add_tag(source_id, "pump", "area", "north")

        async def tagged() -> bool:
            found, origin = await source.lookups.get_device(source_id, source.runtime(source_id).calls, "pump")
            return found is not None and not origin.why and list(found.device.tags) == [("area", "north")]

        await until(tagged, "an edit to be applied and looked up there, past what waits")
        own, _ = await source.account(source_id)
        assert own is not None
        assert (own.queued, own.applied) == (1, 0)
        there, _ = await target.account(target_id)
        assert there is None or there.applied == 0
        assert target.runtime(target_id).view.peer_linked
        target.reserve.reserve_bytes = 0

        async def applied() -> bool:
            own, _ = await source.account(source_id)
            return own is not None and (own.queued, own.applied) == (0, 1)

        await until(applied, "the target to catch up")
