"""Restoring each of the three daemons from a backup that was taken while it ran: what is lost is got again, or named (N6)."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest_asyncio

from shared.rig.client import until
from shared.rig.daemons import Daemon
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Paired, Site, Stage

pytestmark = SAME_LOOP


async def command(daemon: Daemon, *words: str | Path) -> tuple[int, str, str]:
    """Run the command line with the clocks of a daemon; return code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *daemon.program,
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def backed_up(daemon: Daemon, file: Path) -> Path:
    """Take a backup of a running daemon by the command line."""
    assert daemon.running
    code, out, err = await command(daemon, "backup", file, "--data-dir", daemon.data_dir, "--json")
    assert code == 0, err
    assert json.loads(out)["kind"] == daemon.kind
    return file


async def lose_and_restore(daemon: Daemon, file: Path) -> None:
    """Take the disk away, restore the backup into a new directory of the same name, and start again."""
    await daemon.kill()
    shutil.rmtree(daemon.data_dir)
    if daemon.kind == "hub":
        daemon.data_dir.with_name(daemon.data_dir.name + ".key").unlink()
    code, _, err = await command(daemon, "restore", file, "--data-dir", daemon.data_dir)
    assert code == 0, err
    await daemon.start()


async def tags_of(site: Site, connector_id: str) -> set[tuple[str, str]]:
    """Return the tags of the pump at a side."""
    device = await site.get(f"/connectors/{connector_id}/devices/pump")
    return {(name, value) for name, value in device["device"]["tags"]}


async def until_tags(pair: Paired, wanted: set[tuple[str, str]]) -> None:
    """Wait until the pump has these tags on both sides."""

    async def same() -> bool:
        sides = ((pair.source, pair.source_id), (pair.target, pair.target_id))
        found = [await tags_of(site, connector_id) for site, connector_id in sides]
        if found != [wanted, wanted]:
            raise NotYet(str(found))
        return True

    await until(same, what=f"both sides to have {wanted}")


async def add_tag(site: Site, connector_id: str, name: str, value: str) -> None:
    """Tag the pump."""
    await site.post(f"/connectors/{connector_id}/devices/pump/tags", {"name": name, "value": value})


_pairs: dict[int, Paired] = {}


@pytest_asyncio.fixture(loop_scope="session")
async def pair(stage: Stage) -> Paired:
    """One pair for all tests of this file, with readings that were delivered; the last test leaves its account changed."""
    if id(stage) not in _pairs:
        made = _pairs[id(stage)] = await stage.pair()
        await made.sync("flow")
        await made.post(100)
    found = _pairs[id(stage)]
    await found.until_balanced()
    return found


async def gaps(site: Site, connector_id: str) -> list[Any]:
    """Return the gap notices of a side."""
    return await site.rows(f"/connectors/{connector_id}/gaps")


async def test_n6_a_restored_target_gets_what_it_lacks_from_history_and_is_not_restored_over_while_it_runs(
    stage: Stage, pair: Paired, tmp_path: Path
) -> None:
    office = stage.office.daemon
    backup = await backed_up(office, tmp_path / "office.zip")
    code, _, err = await command(office, "restore", backup, "--data-dir", office.data_dir, "--replace")
    assert (code, "stop it first" in err) == (73, True)
    await pair.post(300)
    await pair.until_balanced()
    await add_tag(stage.office, pair.target_id, "made", "since the backup")
    tagged = {("made", "since the backup")}
    await until_tags(pair, tagged)
    await lose_and_restore(stage.office.daemon, backup)
    await pair.post(50)
    await pair.until_balanced()
    await pair.check_delivered()
    await until_tags(pair, tagged)
    assert await gaps(stage.plant, pair.source_id) == [], "nothing was lost, so no gap is named"


async def test_n6_a_restored_hub_knows_everybody_and_the_pair_lives_on(
    stage: Stage, pair: Paired, tmp_path: Path
) -> None:
    before = {site["site_id"] for site in (await stage.hub_status())["sites"]}
    backup = await backed_up(stage.hub, tmp_path / "hub.zip")
    await pair.post(60)
    await lose_and_restore(stage.hub, backup)
    await pair.post(60)
    await pair.until_balanced()
    await pair.check_delivered()
    assert {site["site_id"] for site in (await stage.hub_status())["sites"]} == before


async def test_g18_a_restored_site_takes_back_what_was_edited_since_though_it_restricts_its_partner(
    stage: Stage, pair: Paired, tmp_path: Path
) -> None:
    rights = f"/connectors/{pair.target_id}/peer-rights"
    allowed = await stage.office.get(rights)
    await stage.office.ask("PUT", rights, {**allowed, "edit_tags": False})
    backup = await backed_up(stage.office.daemon, tmp_path / "office.zip")
    await stage.office.ask("PUT", rights, allowed)
    await add_tag(stage.plant, pair.source_id, "theirs", "while it might")
    await add_tag(stage.office, pair.target_id, "ours", "since the backup")
    kept = {("theirs", "while it might"), ("ours", "since the backup"), ("made", "since the backup")}
    await until_tags(pair, kept)
    await lose_and_restore(stage.office.daemon, backup)
    await pair.until_linked()
    await until_tags(pair, kept)
    assert (await stage.office.get(rights))["edit_tags"] is False
    await add_tag(stage.plant, pair.source_id, "late", "after the restore")

    async def refused() -> Any:
        changes = await stage.plant.rows(f"/connectors/{pair.source_id}/changes")
        return [row for row in changes if row["state"] == "refused" and "late" in row["field"]]

    await until(refused, what="what is not allowed any more to be refused")
    await until_tags(pair, kept)
    await stage.office.ask("PUT", rights, allowed)


async def test_n6_what_a_restored_source_had_delivered_is_counted_and_what_may_be_lost_is_named(
    stage: Stage, pair: Paired, tmp_path: Path
) -> None:
    backup = await backed_up(stage.plant.daemon, tmp_path / "plant.zip")
    await pair.post(200)
    await pair.until_balanced()
    stage.office.proxy.cut()
    stage.plant.proxy.cut()
    delivered = dict(pair.posted[("pump", "flow")])
    await pair.post(7)  # accepted, and nowhere else when the disk goes
    await stage.plant.daemon.kill()
    await stage.heal()
    await lose_and_restore(stage.plant.daemon, backup)
    await pair.until_linked()
    pair.posted[("pump", "flow")] = delivered
    await pair.post(40)
    count = pair.posted_count

    async def told() -> Any:
        own = await stage.plant.own_account(pair.source_id)
        theirs = await stage.office.own_account(pair.target_id)
        if (own["applied"], theirs["applied"], own["queued"]) != (count, count, 0):
            raise NotYet(f"{own}, {theirs}")
        return own

    own = await until(told, what="what was delivered to be counted")
    assert (own["accepted"], own["adopted"], own["unknown"]) == (count, 200, True)
    await pair.check_delivered()
    for site, connector_id in ((stage.plant, pair.source_id), (stage.office, pair.target_id)):

        async def named(site: Site = site, connector_id: str = connector_id) -> Any:
            return [gap for gap in await gaps(site, connector_id) if gap["cause"] == "origin_restored"]

        found = await until(named, what=f"{site.name} to name what may be lost")
        assert all(gap["count"] is None for gap in found)
        assert all(gap["first_ms"] < gap["last_ms"] for gap in found), "from when to when is not said"
        assert len(found) == 1, "a gap without a better range stands beside it"
