"""The hub in trouble: a disk that refuses, copies that have to go, a store that vanishes in the middle."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from hub.admission import Displacement, Nonces
from hub.housekeeping import expire_copies
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from hub.store.interface import HubStore
from hub.store.rows import Site
from hub.store.sqlite import DATABASE_NAME
from shared.core.relay_effects import Copy
from shared.errors import Refused, StorageFailed
from shared.limits import DISPLACEMENT_WINDOW_MS, DISPLACEMENTS_MAX, NONCE_LIFE_S
from shared.messages import (
    AskHeld,
    DissolvePair,
    Held,
    HeldEpoch,
    Notice,
    PairDissolved,
    PairParted,
    PartPair,
    PresentPair,
    Sealed,
)
from shared.rig.client import until
from shared.sealing import Kind, Side
from tests.hub.builders import TestPair
from tests.hub.client import SiteClient, both_linked, enrolled
from tests.hub.test_links import a_pair, denial, settings
from tests.hub.test_relay import EPOCH, PAIR, sealed

CONNECTOR = ("site", "SRC1-SRC1")


async def test_a_hub_whose_disk_refuses_holds_nothing_and_goes_on_relaying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()

    async def refuse(pair_id: bytes, copies: Sequence[Copy]) -> None:
        tried.set()
        raise StorageFailed("disk full")

    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        monkeypatch.setattr(running.hub.store, "store_copies", refuse)
        source, target = SiteClient(pair.source, running.url), SiteClient(pair.target, running.url)
        async with source.linked(pair.source_connector) as left:
            await left.show(pair)
            await left.hear(Held)
            await left.say(sealed(1))
            async with asyncio.timeout(10):
                await tried.wait()
            await left.say(AskHeld())
            assert await left.hear(Held) == Held(True, [])
            async with target.linked(pair.target_connector) as right:
                await right.show(pair)
                assert await right.hear(Sealed) == sealed(1)


async def test_w5_a_pair_with_the_id_of_another_is_refused_where_the_disk_refuses_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> bool:
        raise StorageFailed("disk full")

    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        stranger = await enrolled(running, "stranger")
        forged = TestPair(stranger.site, stranger.site, pair.pair_id, "OWN1-OWN1", "OWN2-OWN2")
        async with both_linked(pair, running.url) as (left, right), stranger.linked("OWN1-OWN1") as wire:
            monkeypatch.setattr(running.hub.store, "register_pair", refuse)
            await wire.say(PresentPair(forged.packed))
            assert (await wire.hear(Notice)).code == "pair_conflict"
            await left.say(sealed(1))
            assert await right.hear(Sealed) == sealed(1)


async def test_a_site_that_was_shut_out_stays_so_whatever_database_the_hub_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.housekeeping._WATCH_EVERY_S", 0.05)

    async def refuse(*_: object, **__: object) -> Site:
        raise StorageFailed("disk full")

    async def written_in(store: HubStore | None, client: SiteClient) -> bool:
        stored = None if store is None else await store.site(client.site.site_id)
        return stored is not None and stored.revoked_ms is not None

    async def another(running: RunningHub, than: HubStore) -> HubStore | None:
        return None if running.hub.store is than else running.hub.store

    async with running_hub(settings(tmp_path)) as running:
        hub, rogue = running.hub, await enrolled(running, "rogue")
        first, database = hub.store, tmp_path / "hub" / DATABASE_NAME
        with monkeypatch.context() as trouble:
            trouble.setattr(first, "revoke_site", refuse)
            for operator in ("ann", "bob"):
                assert not await hub.revoke(rogue.site.site_id, who=operator, where="::1")
            with closing(sqlite3.connect(database)) as reader, closing(sqlite3.connect(tmp_path / "moved")) as moved:
                reader.backup(moved)
            for name in (DATABASE_NAME + "-wal", DATABASE_NAME + "-shm"):
                (tmp_path / "hub" / name).unlink(missing_ok=True)
            (tmp_path / "moved").replace(database)  # as it is put on another disk: the same content, another file
            second = await until(lambda: another(running, first), what="another database")
            await until(lambda: written_in(second, rogue), what="the revocation in it")
        assert await denial(rogue) == (403, "site_revoked")
        assert sorted(row.who for row in await hub.store.audit(rows_max=9)) == ["ann", "bob"]

        shutil.rmtree(tmp_path / "hub")  # an empty one: the site is not known there before it comes back
        third = await until(lambda: another(running, second), what="an empty database")
        await rogue.present()
        assert await denial(rogue) == (403, "site_revoked")
        await until(lambda: written_in(third, rogue), what="the revocation in the third")


async def test_a_pair_that_the_disk_refused_is_registered_once_it_stores_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.pair_desk.HUB_STORE_RETRY_MS", 50)
    monkeypatch.setattr("shared.core.relay_stream.HUB_STORE_RETRY_MS", 100)

    async def refuse(*_: object, **__: object) -> bool:
        raise StorageFailed("disk full")

    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source = SiteClient(pair.source, running.url)
        with monkeypatch.context() as trouble:
            trouble.setattr(running.hub.store, "register_pair", refuse)
            async with source.linked(pair.source_connector) as left:
                await left.show(pair)
                await left.hear(Held)
                trouble.undo()  # there is room again, on the very same link
                await left.say(sealed(1))
                assert await left.hear(Held) == Held(False, [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])])
        assert [kept.certificate for kept in await running.hub.store.pairs()] == [pair.certificate]


async def test_a_site_hears_that_the_hubs_disk_refuses_and_not_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> bool:
        raise StorageFailed(f"the disk of {tmp_path} is full")

    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        for verb in ("part_pair", "dissolve_pair"):
            monkeypatch.setattr(running.hub.store, verb, refuse)
        async with both_linked(pair, running.url) as (left, _):
            for told in (PartPair(pair.packed, pair.parting()), DissolvePair(pair.dissolution)):
                await left.say(told)
                said = await left.hear(Notice)
                assert (said.code, str(tmp_path) in said.facts["why"]) == ("storage_failed", False)


async def test_n11_a_parted_pair_that_was_carried_while_the_disk_could_not_tell_is_over_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.pair_desk.HUB_STORE_RETRY_MS", 50)

    async def refuse(*_: object) -> None:
        raise StorageFailed("disk failing")

    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source, target = SiteClient(pair.source, running.url), SiteClient(pair.target, running.url)
        async with target.linked(pair.target_connector) as right:
            await right.say(PartPair(pair.packed, pair.parting()))
            await right.hear(PairParted)
        with monkeypatch.context() as trouble:
            trouble.setattr(running.hub.store, "parting", refuse)
            async with source.linked(pair.source_connector) as left:
                await left.show(pair)
                trouble.undo()
                assert await left.hear(PairParted) == PairParted(pair.parting(), known_by_both=False)
        assert (await running.hub.store.pairs(), running.hub.registry.pairs_count) == ([], 0)


async def test_copies_over_the_cap_go_and_their_origin_hears_of_it(tmp_path: Path) -> None:
    capped = HubSettings(port=0, data_dir=tmp_path / "hub", open_enrolment=True, copy_bytes_max=500)
    async with running_hub(capped) as running:
        pair = await a_pair(running)
        source = SiteClient(pair.source, running.url)
        async with source.linked(pair.source_connector) as left:
            await left.show(pair)
            await left.hear(Held)
            await left.say(sealed(1), sealed(2))
            while (await left.hear(Held)).epochs[-1].numbers[-1] != 2:
                pass
            await expire_copies(running.hub)
            assert await left.hear(Held) == Held(True, [HeldEpoch(Kind.SEGMENT, EPOCH, [2, 2])])


async def test_copies_that_go_while_their_pair_is_taken_up_are_not_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source = SiteClient(pair.source, running.url)
        async with source.linked(pair.source_connector) as left:
            await left.show(pair)
            await left.say(sealed(1), sealed(2))
            while (await left.hear(Held)).epochs != [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 2])]:
                await left.say(AskHeld())
    capped = HubSettings(port=0, data_dir=tmp_path / "hub", open_enrolment=True, copy_bytes_max=500)
    async with running_hub(capped) as running:
        read, letting_go = running.hub.store.held, asyncio.Event()
        going: list[asyncio.Task[None]] = []

        async def held(pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
            found = await read(pair_id)
            going.append(asyncio.ensure_future(expire_copies(running.hub)))
            going[0].add_done_callback(lambda _: letting_go.set())
            with suppress(TimeoutError):  # housekeeping may well wait until this is read
                await asyncio.wait_for(letting_go.wait(), 0.3)
            return found

        monkeypatch.setattr(running.hub.store, "held", held)
        source.url = running.url
        async with source.linked(pair.source_connector) as left:
            await left.show(pair)
            await going[0]
            await left.say(AskHeld())
            while len((said := await left.hear(Held)).epochs[0].numbers) == 2 and said.epochs[0].numbers[0] == 1:
                pass
            assert said == Held(True, (await read(PAIR))[Side.SOURCE])


async def test_a_link_that_ends_while_its_pair_is_dissolved_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        begun, go_on = asyncio.Event(), asyncio.Event()
        dissolve = running.hub.store.dissolve_pair

        async def slowly(*args: object, **more: object) -> object:
            begun.set()
            await go_on.wait()
            return await dissolve(*args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(running.hub.store, "dissolve_pair", slowly)
        async with both_linked(pair, running.url) as (left, _):
            await left.say(DissolvePair(pair.dissolution))
            async with asyncio.timeout(10):
                await begun.wait()
            left.socket.transport.abort()
            target = SiteClient(pair.target, running.url)
            async with target.linked(pair.target_connector) as right:
                go_on.set()
                await right.hear(PairDissolved)
        assert PAIR not in running.hub.pairs.runners
        assert (await running.hub.store.backlogs(), await running.hub.store.pairs()) == ([], [])
        assert (await running.hub.store.held(PAIR))[Side.SOURCE] == []


def test_a_nonce_is_good_once_and_for_a_minute_however_it_is_written() -> None:
    nonces = Nonces()
    nonce, late = nonces.make(1_000_000), nonces.make(1_000_000)
    nonces.take(nonce, 1_000_000)
    for again in (nonce, nonce.upper(), nonce[:2] + " " + nonce[2:]):
        with pytest.raises(Refused, match="nonce"):
            nonces.take(again, 1_000_000)
    with pytest.raises(Refused, match="nonce"):
        nonces.take(late, 1_000_000 + 1_000 * (NONCE_LIFE_S + 1))
    with pytest.raises(Refused, match="nonce"):
        Nonces().take(nonces.make(1_000_000), 1_000_000)


def test_a_daemon_that_restarts_often_is_no_duplicate() -> None:
    rule = Displacement()
    starts = [bytes([n]) for n in range(20)]
    for old, new in pairwise(starts):
        rule.displace(CONNECTOR, old, new, 1_000)


def test_two_copies_are_told_apart_for_a_minute() -> None:
    rule = Displacement()
    for turn in range(DISPLACEMENTS_MAX + 1):
        rule.displace(CONNECTOR, *((b"a", b"b") if turn % 2 == 0 else (b"b", b"a")), 1_000 + turn)
    with pytest.raises(Refused, match="displace each other"):
        rule.displace(CONNECTOR, b"a", b"b", 2_000)
    rule.displace(CONNECTOR, b"a", b"a", 2_000)
    rule.displace(CONNECTOR, b"a", b"b", 2_000 + DISPLACEMENT_WINDOW_MS)
