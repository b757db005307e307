"""*Create the same there*, asked of a partner that may not: the list says so in words (W9, G18)."""

from __future__ import annotations

from pathlib import Path

from connector.resources import NewResource
from tests.connector.visitors import two_sites, until


async def test_w9_g18_a_partner_that_may_not_make_resources_is_told_so_where_he_asked(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        connector = await two.source.site.create_connector("pumps", creates_devices=True)
        source_id = connector.connector_id
        target_id = await two.pair(source_id)
        path = f"/connectors/{source_id}/resources"
        await two.source.site.create_resource(source_id, NewResource(alias="flow", format="number", remote_sync=True))
        assert "missing at riverside; its readings wait until it exists there" in await two.source.get(path)
        await two.target.site.editing.set_peer_rights(target_id, {"edit_resources": False}, who="admin")

        await two.source.post(f"{path}/flow/create-there")

        async def refused() -> str:
            text = await two.source.get(path)
            return text if "refused there" in text else ""

        text = await until(refused, "the answer of the other side")
        assert "refused there:" in text
        assert "Create the same there" in text  # and it can be asked again
        assert (await two.source.http.post(f"{path}/flow/delete", data={"confirmed": "yes"})).status_code == 303
        assert "Switch its Remote-Sync off first" in await two.source.get(path)
        assert all(row.match != "same" for row in await two.target.site.resources(target_id))

        await two.target.site.editing.set_peer_rights(target_id, {"edit_resources": True}, who="admin")
        await two.source.post(f"{path}/flow/create-there")

        async def made() -> bool:
            return any(row.match == "same" for row in await two.target.site.resources(target_id))

        await until(made, "the resource to be there")
        assert await two.target.post(f"/connectors/{target_id}/resources/flow/delete", confirmed="yes")
        assert "has to be switched off there first" in await two.target.get(f"/connectors/{target_id}/resources/flow")
