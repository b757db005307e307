"""Quarantine as people at both sides meet it: one bad reading blocks nothing, and ends applied or as a gap (N5, page 11)."""

from __future__ import annotations

import re
from pathlib import Path
from secrets import token_urlsafe

import pytest

from connector.resources import NewResource
from shared.batches import BatchCodec
from shared.columns import Columns
from shared.errors import Undecodable
from tests.connector.site_stage import line
from tests.connector.test_pages_paired import shows
from tests.connector.visitors import two_sites, until


class OlderRelease:
    """Reads batches as a release that does not know them: none of them while `is_old`."""

    def __init__(self, codec: BatchCodec) -> None:
        self.is_old = True
        self._decode = codec.decode_columns

    def decode_columns(self, body: bytes, *, own: bool = False) -> Columns:
        if self.is_old:
            raise Undecodable("batch of version 9, this release reads 1")
        return self._decode(body, own=own)


async def test_n5_page11_what_cannot_be_applied_is_shown_with_its_reason_retried_or_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_sites(tmp_path) as two:
        source_id = (await two.source.site.create_connector("pumps", creates_devices=True)).connector_id
        target_id = await two.pair(source_id)
        for found, id_ in ((two.source, source_id), (two.target, target_id)):
            await found.site.create_resource(id_, NewResource(alias="flow", format="number", remote_sync=True))
        here = f"/connectors/{target_id}/quarantine"
        assert "Nothing in quarantine" in await two.target.get(here)

        runner = two.target.site.runtime(target_id).runner
        assert runner is not None
        codec = runner._engine.inbox._codec
        release = OlderRelease(codec)
        monkeypatch.setattr(codec, "decode_columns", release.decode_columns)
        for value in (1.0, 2.0):
            await two.source.site.ingest(source_id, line("pump", "flow", value))
            await shows(two.target, here, f"{value:.0f} in quarantine")
        assert "batch of version 9, this release reads 1" in await two.target.get(here)
        runner._engine.inbox.room.forget()  # as after a start, or where a unit of work was undone
        said = await two.target.get(here)
        assert re.search(r"2 in quarantine, 2 readings in all; \d{3} B of 256 MiB taken", said.replace(" ,", ",")), said
        text = await shows(
            two.source, f"/connectors/{source_id}/quarantine", "2 readings are in quarantine at riverside"
        )
        assert "Nothing in quarantine" in text
        release.is_old = False
        await two.source.site.ingest(source_id, line("pump", "flow", 3.0))
        await shows(two.target, f"/connectors/{target_id}/resources/flow", "3")  # nothing else waits for it
        release.is_old = True

        api = f"/api/v1{here}"
        rows = (await two.target.http.get(f"{api}?limit=1")).json()
        assert [row["count"] for row in rows["rows"]] == [1]
        first = rows["rows"][0]["quarantine_id"]
        more = (await two.target.http.get(f"{api}?after={rows['next']}")).json()
        (second,) = [row["quarantine_id"] for row in more["rows"]]
        bytes_ = await two.target.http.get(f"{here}/{first}/content")
        assert bytes_.content[:4] == bytes.fromhex("28b52ffd")
        await two.target.post(f"{here}/{first}/retry")
        assert "It still cannot be applied: batch of version 9" in await two.target.get(here)
        assert not (await two.target.http.post(f"{api}/{first}/retry")).json()["applied"]

        # One is discarded by a person, who is asked first; the other is applied once this side understands it.
        assert "they become a gap that both sides show" in await two.target.get(f"{here}/{first}/discard")
        await two.target.post(f"{here}/{first}/discard", confirmed="yes")
        release.is_old = False
        await two.target.post(f"{here}/retry")
        text = await two.target.get(here)
        assert "1 applied" in text
        assert "Nothing in quarantine" in text
        assert (await two.target.http.post(f"{api}/{second}/retry")).status_code == 404
        for found, id_ in ((two.target, target_id), (two.source, source_id)):
            await shows(found, f"/connectors/{id_}/gaps", "discarded by a person")

        async def balanced() -> bool:
            own, _ = await two.source.site.account(source_id)
            theirs, _ = await two.target.site.account(target_id)
            assert own is not None
            assert theirs is not None
            sides = [(side.applied, side.queued, side.quarantined, side.dropped) for side in (own, theirs)]
            return sides == [(2, 0, 0, 1)] * 2 and own.accepted == 3

        await until(balanced, "both accounts to balance")


async def test_g7_a_full_quarantine_is_a_repair_at_both_sides_and_goes_on_by_itself_once_a_person_made_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_sites(tmp_path, quarantine_bytes_max=65_536) as two:
        source_id = (await two.source.site.create_connector("pumps", creates_devices=True)).connector_id
        target_id = await two.pair(source_id)
        for found, id_ in ((two.source, source_id), (two.target, target_id)):
            await found.site.create_resource(id_, NewResource(alias="note", format="string", remote_sync=True))
            await found.site.create_resource(id_, NewResource(alias="flow", format="number", remote_sync=True))
        runner = two.target.site.runtime(target_id).runner
        assert runner is not None
        codec = runner._engine.inbox._codec
        release = OlderRelease(codec)
        monkeypatch.setattr(codec, "decode_columns", release.decode_columns)
        here, there = f"/connectors/{target_id}/quarantine", f"/connectors/{source_id}/quarantine"
        for shown in ("1 in quarantine", "No room for more"):  # what is random does not shrink
            await two.source.site.ingest(source_id, line("pump", "note", token_urlsafe(45_000)))
            await shows(two.target, here, shown)
        await shows(two.source, there, "The quarantine of riverside is full")
        assert "1 in quarantine" in await two.target.get(here)
        await shows(two.target, "/repairs", "Quarantine is full")
        await shows(two.source, "/repairs", "The quarantine of riverside is full")

        release.is_old = False  # nothing is lost: what waited is there once there is room
        assert "gives up" in await two.target.get(f"{here}/discard")
        await two.target.post(f"{here}/discard", confirmed="yes")

        async def is_through() -> bool:
            own, _ = await two.source.site.account(source_id)
            assert own is not None
            return (own.applied, own.queued, own.quarantined, own.dropped) == (1, 0, 0, 1)

        await until(is_through, "what waited to be applied")
        assert "No room for more" not in await two.target.get(here)
        assert (await two.target.http.delete(f"/api/v1{here}")).json() == {"discarded": 0}
