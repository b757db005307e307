"""Parting by the pages, as two people without scripts walk them (page 4, G16), and what no hub can do to a pair."""

from __future__ import annotations

from pathlib import Path

from shared.certificates import Parting, new_key, pack, sign
from shared.messages import PairParted
from tests.connector.test_pages_paired import hears, path_of, shows, standalone, stream
from tests.connector.visitors import Two, two_sites, until


async def parts_by_forms(two: Two, source_id: str, target_id: str) -> None:
    """Ask at the source, with every wrong turn; agree at the target."""
    page, there = (f"{path_of(each)}/remote-sync/part" for each in (source_id, target_id))
    assert "Part …" in await two.source.get(f"{path_of(source_id)}/remote-sync")
    text = await two.source.get(page)
    assert "Both sides have to agree" in text
    assert "Nothing waits at this moment." in text

    wrong = await two.source.post(page, 422, what="keep", name="Pump hous")
    assert "This is not the name of this connector." in wrong
    assert "Choose what becomes of what was replicated." in await two.source.post(page, 422, name="Pump house")
    assert "There is no such ask to part." in await two.source.get(
        await two.source.post(f"{page}/agree", what="keep", name="Pump house")
    )

    async with stream(two.target, f"{path_of(target_id)}/updates?page=parting") as lines:
        await hears(lines, "Both sides have to agree")
        await two.source.post(page, what="keep", name="Pump house")
        await hears(lines, "hillside asks to part")
    assert "You asked. riverside sees it" in await two.source.get(page)
    assert "You asked riverside to part." in await two.source.get(f"{path_of(source_id)}/remote-sync")

    # The other side is told on every page, and says no first.
    assert "hillside asks to part" in await two.target.get(path_of(target_id))
    assert "hillside asks to part. Nothing changes" in await two.target.get(f"{path_of(target_id)}/remote-sync")
    await two.target.post(f"{there}/decline")
    await shows(two.source, page, "riverside declined when you asked last.")

    # Asked once more, taken back, asked again.
    await two.source.post(page, what="keep", name="Pump house")
    await two.source.post(f"{page}/withdraw")
    await shows(two.target, there, "Both sides have to agree")
    await two.source.post(page, what="keep", name="Pump house")
    text = await shows(two.target, there, "asks to part")
    assert "admin at hillside asked to part" in text
    name = text.partition("Type the connector's name: ")[2].partition(" Agree and part")[0].strip()
    await two.target.post(f"{there}/agree", what="flush", name=name)


async def test_n11_two_people_part_by_the_pages_and_a_forged_parting_parts_nobody(tmp_path: Path) -> None:
    async with two_sites(tmp_path) as two:
        source_id = await standalone(two.source)
        target_id = await two.pair(source_id)
        await no_forged_parting_counts(two, source_id)

        await parts_by_forms(two, source_id, target_id)

        there = await shows(two.target, f"{path_of(target_id)}/remote-sync/part", "known at both sides")
        assert "Parted from hillside" in there
        assert "flushed here" in there
        assert "kept here" in await shows(two.source, f"{path_of(source_id)}/remote-sync/part", "known at both sides")
        idle = await shows(two.source, f"{path_of(source_id)}/remote-sync", "ENABLE REMOTE-SYNC")
        assert "It was paired with riverside before." in idle
        await two.target.post(f"{path_of(target_id)}/delete", confirmed="yes")
        assert (await two.pair(source_id)) != target_id
        assert "Part from riverside" in await two.source.get(f"{path_of(source_id)}/remote-sync/part")


async def no_forged_parting_counts(two: Two, source_id: str) -> None:
    """Let the hub show the source partings that it did not sign: it ends the link each time, and stays paired."""
    pair = two.source.site.pair(source_id)
    assert pair is not None
    own, theirs = (visited.site.identity.identity_private for visited in (two.source, two.target))
    hub_key, part_id = new_key(), b"q" * 16
    parting, other = Parting(pair.pair_id, part_id), Parting(b"o" * 16, part_id)
    forged = [  # all ways to forge one are tried in tests/core/test_parting.py; each costs a link
        pack(parting, [sign(own, parting), sign(hub_key, parting)]),
        pack(parting, [sign(own, other), sign(theirs, other)]),
    ]
    connector = (two.source.site.identity.site_id, source_id)

    async def linked() -> object:
        return two.hub.hub.links.get(connector)

    for packed in forged:
        link = await until(linked, "the source to be linked")
        link.send(PairParted(packed, known_by_both=True))
        await link.ended.wait()
        assert two.source.site.pair(source_id) == pair
    await until(linked, "the source to be linked again")
