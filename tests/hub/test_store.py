"""The conformance suite of hub stores: what every implementation must do (hub/store/interface.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.store.interface import HubStore
from hub.store.memory import MemoryStore
from hub.store.rows import Token, User
from hub.store.sqlite import DATABASE_NAME, SqliteStore
from shared.core.repairs import Finding, Repair
from shared.errors import Refused, StorageFailed
from shared.limits import ENROLMENT_TOKEN_LIFE_MS, HUB_COPY_ROW_BYTES, REPAIRS_KEPT_MAX, REPAIRS_KEPT_MS
from shared.messages import HeldEpoch
from shared.notices.notice import Notice
from shared.sealing import Kind, Side
from tests.hub.builders import TestPair, TestSite, make_copy
from web.sessions import SessionRow

S, T = Side.SOURCE, Side.TARGET
SEGMENT, CONTROL = Kind.SEGMENT, Kind.CONTROL
EPOCH = 2**64 - 3
PAIR = b"p" * 16


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HubStore]:
    opened: HubStore = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


async def refusal_of(awaitable: object) -> str:
    with pytest.raises(Refused) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


def a_token(site_name: str, digest: bytes = b"d" * 32, token_id: str = "t1") -> Token:
    return Token(token_id, digest, site_name, "phe_12...", 1_000, 1_000 + ENROLMENT_TOKEN_LIFE_MS)


async def a_pair(store: HubStore, pair_id: bytes = PAIR) -> TestPair:
    pair = TestPair(TestSite("plant " + pair_id.hex()), TestSite("office " + pair_id.hex()), pair_id)
    assert await store.register_pair(pair.certificate, pair.packed, now_ms=1_000)
    return pair


# --- sites and tokens ------------------------------------------------------------------------------------------------


async def test_a_token_enrols_its_site_once(store: HubStore) -> None:
    plant, other = TestSite("plant"), TestSite("plant two")
    await store.add_token(a_token("plant"))
    assert await store.enrol_site(plant.row(), token_digest=b"d" * 32, now_ms=2_000) == plant.row()
    assert await store.site(plant.site_id) == plant.row()
    assert [token.used_ms for token in await store.tokens(now_ms=2_000)] == [2_000]
    assert await refusal_of(store.enrol_site(other.row(), token_digest=b"d" * 32, now_ms=2_000)) == "token_used"


async def test_a_token_is_for_its_site_name_and_its_day(store: HubStore) -> None:
    await store.add_token(a_token("plant"))
    wrong, late = TestSite("office").row(), TestSite("plant").row()
    late_ms = 1_000 + ENROLMENT_TOKEN_LIFE_MS
    assert await refusal_of(store.enrol_site(wrong, token_digest=b"d" * 32, now_ms=2_000)) == "token_other_site"
    assert await refusal_of(store.enrol_site(late, token_digest=b"d" * 32, now_ms=late_ms)) == "token_expired"
    assert await refusal_of(store.enrol_site(late, token_digest=b"x" * 32, now_ms=2_000)) == "token_unknown"
    assert await store.sites() == []
    assert await store.tokens(now_ms=late_ms) == []


async def test_of_two_sites_that_race_with_one_token_one_is_enrolled(store: HubStore) -> None:
    await store.add_token(a_token("plant"))
    outcomes = await asyncio.gather(
        *(store.enrol_site(TestSite("plant").row(), token_digest=b"d" * 32, now_ms=2_000) for _ in range(2)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 1
    assert len(await store.sites()) == 1


async def test_the_very_same_site_enrols_again_without_a_token(store: HubStore) -> None:
    plant = TestSite("plant")
    await store.enrol_site(plant.row(), token_digest=None, now_ms=1_000)
    again = await store.enrol_site(plant.row(enrolled_ms=9_000), token_digest=b"none", now_ms=9_000)
    assert again == plant.row()


async def test_a_name_belongs_to_one_site_whatever_its_case(store: HubStore) -> None:
    await store.enrol_site(TestSite("Plant").row(), token_digest=None, now_ms=1_000)
    code = await refusal_of(store.enrol_site(TestSite("plant").row(), token_digest=None, now_ms=1_000))
    assert code == "site_name_taken"
    assert await refusal_of(store.restore_site(TestSite("PLANT").row())) == "site_name_taken"


async def test_a_site_id_keeps_its_keys_and_name(store: HubStore) -> None:
    plant = TestSite("plant")
    await store.enrol_site(plant.row(), token_digest=None, now_ms=1_000)
    for other in (TestSite("plant", site_id=plant.site_id), replace(plant, name="elsewhere")):
        code = await refusal_of(store.enrol_site(other.row(), token_digest=None, now_ms=1_000))
        assert code == "certificate_refused"


async def test_a_site_is_restored_by_its_certificate(store: HubStore) -> None:
    plant = TestSite("plant")
    assert await store.restore_site(plant.row()) == plant.row()
    assert await store.restore_site(plant.row()) == plant.row()
    assert await store.sites() == [plant.row()]


async def test_a_revoked_site_stays_out(store: HubStore) -> None:
    plant = TestSite("plant")
    await store.enrol_site(plant.row(), token_digest=None, now_ms=1_000)
    assert (await store.revoke_site(plant.site_id, now_ms=5_000)).revoked_ms == 5_000
    assert (await store.revoke_site(plant.site_id, now_ms=6_000)).revoked_ms == 5_000
    assert await refusal_of(store.restore_site(plant.row())) == "site_revoked"
    assert await refusal_of(store.enrol_site(plant.row(), token_digest=None, now_ms=6_000)) == "site_revoked"
    assert await refusal_of(store.revoke_site("nobody", now_ms=1)) == "not_found"


async def test_an_unused_token_can_be_revoked(store: HubStore) -> None:
    await store.add_token(a_token("plant"))
    await store.revoke_token("t1")
    assert await store.tokens(now_ms=2_000) == []
    assert await refusal_of(store.revoke_token("t1")) == "not_found"


# --- pairs -----------------------------------------------------------------------------------------------------------


async def test_a_pair_is_registered_once_and_again_without_change(store: HubStore) -> None:
    pair = await a_pair(store)
    assert not await store.register_pair(pair.certificate, pair.packed, now_ms=9_000)
    (stored,) = await store.pairs()
    assert (stored.certificate, stored.packed, stored.registered_ms) == (pair.certificate, pair.packed, 1_000)


async def test_a_connector_is_in_one_pair_only(store: HubStore) -> None:
    pair = await a_pair(store)
    others = [
        TestPair(pair.source, TestSite("c"), b"q" * 16),
        TestPair(TestSite("c"), pair.target, b"q" * 16),
        TestPair(pair.target, TestSite("c"), b"q" * 16, source_connector=pair.target_connector),
        TestPair(TestSite("c"), TestSite("d"), pair.pair_id),
    ]
    for other in others:
        assert await refusal_of(store.register_pair(other.certificate, other.packed, now_ms=1)) == "pair_conflict"
    assert len(await store.pairs()) == 1


async def test_an_end_that_nobody_vouches_for_takes_no_connector_until_its_own_site_presents_the_pair(
    store: HubStore,
) -> None:
    victim, rogue = TestSite("plant"), TestSite("rogue")
    forged = TestPair(TestSite("plant", site_id=victim.site_id), rogue, b"f" * 16, target_connector="BAD1-BAD1")
    real, other = TestPair(victim, TestSite("office"), b"r" * 16), TestPair(victim, rogue, b"o" * 16)
    assert await store.register_pair(forged.certificate, forged.packed, ends=[T], now_ms=1)
    assert await store.register_pair(real.certificate, real.packed, ends=[S], now_ms=2)
    assert not await store.register_pair(real.certificate, real.packed, ends=[S, T], now_ms=3)
    for pair in (other, TestPair(rogue, real.target, b"t" * 16)):
        assert await refusal_of(store.register_pair(pair.certificate, pair.packed, now_ms=4)) == "pair_conflict"
    assert len(await store.pairs()) == 2


async def test_a_pair_that_was_kept_with_another_key_of_a_site_gives_way_to_that_sites_own(store: HubStore) -> None:
    victim, rogue = TestSite("plant"), TestSite("rogue")
    forged = TestPair(TestSite("plant", site_id=victim.site_id), rogue, b"f" * 16, target_connector="BAD1-BAD1")
    real = TestPair(victim, TestSite("office"), b"r" * 16)
    assert await store.register_pair(forged.certificate, forged.packed, now_ms=1)
    assert await store.register_pair(real.certificate, real.packed, now_ms=2)
    assert not await store.register_pair(real.certificate, real.packed, now_ms=4)


async def test_one_site_may_have_many_pairs(store: HubStore) -> None:
    pair = await a_pair(store)
    second = TestPair(pair.source, pair.target, b"q" * 16, "SRC2-SRC2", "TGT2-TGT2")
    assert await store.register_pair(second.certificate, second.packed, now_ms=1)
    assert len(await store.pairs()) == 2


async def test_of_two_targets_that_race_for_a_source_one_wins(store: HubStore) -> None:
    source = TestSite("plant")
    rivals = [TestPair(source, TestSite(f"office {n}"), bytes([n]) * 16) for n in (1, 2, 3)]
    outcomes = await asyncio.gather(
        *(store.register_pair(pair.certificate, pair.packed, now_ms=1) for pair in rivals), return_exceptions=True
    )
    assert outcomes.count(True) == 1
    assert [type(outcome) for outcome in outcomes].count(Refused) == 2


async def test_a_dissolved_pair_is_gone_with_its_copies_and_remembered(store: HubStore) -> None:
    pair = await a_pair(store)
    await store.store_copies(PAIR, [make_copy(1)])
    dissolved = await store.dissolve_pair(PAIR, pair.source.site_id, pair.dissolution, now_ms=2_000)
    assert dissolved is not None
    assert dissolved.certificate == pair.certificate
    assert await store.pairs() == []
    assert await store.backlogs() == []
    assert await store.held(PAIR) == {S: [], T: []}
    assert await store.dissolution(PAIR, pair.source.site_id) == pair.dissolution
    assert await refusal_of(store.store_copies(PAIR, [make_copy(2)])) == "not_found"
    assert await store.register_pair(pair.certificate, pair.packed, now_ms=3_000)


async def test_only_the_source_dissolves_a_pair(store: HubStore) -> None:
    pair = await a_pair(store)
    code = await refusal_of(store.dissolve_pair(PAIR, pair.target.site_id, b"signed", now_ms=2_000))
    assert code == "certificate_refused"
    assert len(await store.pairs()) == 1
    assert await store.dissolution(PAIR, pair.target.site_id) is None


async def test_a_pair_the_hub_never_saw_can_be_dissolved(store: HubStore) -> None:
    assert await store.dissolve_pair(PAIR, "site", b"signed", now_ms=1) is None
    assert await store.dissolve_pair(PAIR, "site", b"signed", now_ms=1) is None
    assert await store.dissolution(PAIR, "site") == b"signed"
    assert await store.dissolution(PAIR, "other site") is None


async def test_a_parted_pair_is_gone_with_its_copies_and_both_sides_may_say_so(store: HubStore) -> None:
    pair = await a_pair(store)
    await store.store_copies(PAIR, [make_copy(1)])
    assert await store.parting(pair.certificate) is None
    assert not await store.part_pair(pair.certificate, pair.parting(), S, now_ms=2_000)
    assert await store.pairs() == []
    assert await store.backlogs() == []
    assert await store.parting(pair.certificate) == (pair.parting(), False)
    assert not await store.part_pair(pair.certificate, pair.parting(), S, now_ms=3_000)
    assert await store.part_pair(pair.certificate, pair.parting(), T, now_ms=4_000)
    assert await store.parting(pair.certificate) == (pair.parting(), True)
    again = TestPair(pair.source, pair.target, b"n" * 16)
    assert await store.register_pair(again.certificate, again.packed, now_ms=5_000)


async def test_a_parting_touches_no_other_pair_of_the_same_id(store: HubStore) -> None:
    pair = await a_pair(store)
    stranger = TestPair(TestSite("stranger"), TestSite("its friend"))
    assert not await store.part_pair(stranger.certificate, stranger.parting(), S, now_ms=2_000)
    assert [kept.certificate for kept in await store.pairs()] == [pair.certificate]
    assert await store.parting(pair.certificate) is None


async def test_partings_of_a_site_are_bounded(store: HubStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory", "partings_sql"):
        monkeypatch.setattr(f"hub.store.{module}.PARTINGS_PER_SITE_MAX", 2)
    source, target = TestSite("plant"), TestSite("office")
    pairs = [TestPair(source, target, bytes([n]) * 16) for n in range(4)]
    for at, pair in enumerate(pairs):
        await store.part_pair(pair.certificate, pair.parting(), S, now_ms=1_000 + at)
    found = [await store.parting(pair.certificate) is not None for pair in pairs]
    assert found[-2:] == [True, True]
    assert found[0] is False


async def test_partings_with_sources_that_nobody_knows_are_bounded_by_the_target_that_tells_them(
    store: HubStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "partings_sql"):
        monkeypatch.setattr(f"hub.store.{module}.PARTINGS_PER_SITE_MAX", 2)
    rogue, plant = TestSite("rogue"), TestSite("plant")
    honest = TestPair(plant, TestSite("office"), b"h" * 16)
    await store.part_pair(honest.certificate, honest.parting(), T, now_ms=500)
    with_rogue = TestPair(plant, rogue, b"r" * 16)
    await store.part_pair(with_rogue.certificate, with_rogue.parting(), S, now_ms=600)
    pairs = [TestPair(TestSite("ghost"), rogue, bytes([n]) * 16) for n in range(5)]
    for at, pair in enumerate(pairs):
        await store.part_pair(pair.certificate, pair.parting(), T, now_ms=1_000 + at)
    kept = [pair for pair in pairs if await store.parting(pair.certificate) is not None]
    assert kept in (pairs[-2:], pairs[-3:])
    assert await store.parting(honest.certificate) == (honest.parting(), False)
    assert await store.parting(with_rogue.certificate) == (with_rogue.parting(), False)


async def test_the_newest_partings_and_dissolutions_stay_although_the_clock_was_set_back(
    store: HubStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory.PARTINGS", "partings_sql.PARTINGS", "registry_sql._DISSOLUTIONS"):
        monkeypatch.setattr(f"hub.store.{module}_PER_SITE_MAX", 2)
    source, target = TestSite("plant"), TestSite("office")
    pairs = [TestPair(source, target, bytes([n]) * 16) for n in range(5)]
    for at, pair in enumerate(pairs):
        now_ms = 9_000_000 - 1_000_000 * at  # further back each time
        await store.part_pair(pair.certificate, pair.parting(), S, now_ms=now_ms)
        await store.dissolve_pair(pair.certificate.pair_id, source.site_id, pair.dissolution, now_ms=now_ms)
        assert await store.parting(pair.certificate) is not None
        assert await store.dissolution(pair.certificate.pair_id, source.site_id) is not None


# --- copies ----------------------------------------------------------------------------------------------------------


async def load(
    store: HubStore, kind: Kind = SEGMENT, side: Side = S, after: int = 0, body_bytes_max: int = 10**6
) -> list[int]:
    copies = await store.load_copies(PAIR, side, kind, after=after, body_bytes_max=body_bytes_max, copies_max=1_000)
    return [copy.number for copy in copies]


async def test_copies_come_back_as_they_were_in_order_of_arrival(store: HubStore) -> None:
    await a_pair(store)
    for number in (5, 3, 4):
        await store.store_copies(PAIR, [make_copy(number)])
    copies = await store.load_copies(PAIR, S, SEGMENT, after=0, body_bytes_max=10**6, copies_max=9)
    assert [replace(copy, place=0) for copy in copies] == [make_copy(5), make_copy(3), make_copy(4)]
    assert copies[0].place < copies[1].place < copies[2].place
    assert await load(store, after=copies[1].place) == [4]


async def test_sides_kinds_and_pairs_are_apart(store: HubStore) -> None:
    await a_pair(store)
    await a_pair(store, b"q" * 16)
    await store.store_copies(PAIR, [make_copy(1), make_copy(2, kind=CONTROL), make_copy(3, side=T)])
    await store.store_copies(b"q" * 16, [make_copy(4)])
    assert await load(store) == [1]
    assert await load(store, CONTROL) == [2]
    assert await load(store, side=T) == [3]
    assert await store.held(b"q" * 16) == {S: [HeldEpoch(SEGMENT, EPOCH, [4, 4])], T: []}


async def test_loading_is_bounded_but_always_brings_one(store: HubStore) -> None:
    await a_pair(store)
    await store.store_copies(PAIR, [make_copy(n) for n in (1, 2, 3)])
    assert await load(store, body_bytes_max=1) == [1]
    assert await load(store, body_bytes_max=51) == [1, 2]
    found = await store.load_copies(PAIR, S, SEGMENT, after=0, body_bytes_max=10**6, copies_max=2)
    assert len(found) == 2


async def test_the_same_number_again_takes_the_others_place(store: HubStore) -> None:
    await a_pair(store)
    await store.store_copies(PAIR, [make_copy(1), make_copy(2)])
    newer = make_copy(1, nonce=b"m" * 12, body=b"c" * 70)
    await store.store_copies(PAIR, [newer, newer])
    copies = await store.load_copies(PAIR, S, SEGMENT, after=0, body_bytes_max=10**6, copies_max=9)
    assert [replace(copy, place=0) for copy in copies] == [newer, make_copy(2)]
    (backlog,) = await store.backlogs()
    assert (backlog.copies_count, backlog.stored_bytes) == (2, 120 + 2 * HUB_COPY_ROW_BYTES)


async def test_trimming_deletes_the_stated_numbers_only(store: HubStore) -> None:
    await a_pair(store)
    await store.store_copies(PAIR, [make_copy(n) for n in range(1, 8)] + [make_copy(2, kind=CONTROL)])
    await store.trim_copies(PAIR, S, SEGMENT, EPOCH, [1, 2, 5, 6, 100, 2**62])
    await store.trim_copies(PAIR, S, SEGMENT, 7, [1, 10])
    await store.trim_copies(b"nobody", S, SEGMENT, EPOCH, [1, 10])
    held = await store.held(PAIR)
    assert sorted(held[S], key=lambda h: h.kind) == [
        HeldEpoch(SEGMENT, EPOCH, [3, 4, 7, 7]),
        HeldEpoch(CONTROL, EPOCH, [2, 2]),
    ]


async def test_places_are_never_used_again(store: HubStore) -> None:
    await a_pair(store)
    await store.store_copies(PAIR, [make_copy(1)])
    (first,) = await store.load_copies(PAIR, S, SEGMENT, after=0, body_bytes_max=1, copies_max=1)
    await store.trim_copies(PAIR, S, SEGMENT, EPOCH, [1, 1])
    await store.store_copies(PAIR, [make_copy(2)])
    assert await load(store, after=first.place) == [2]


async def test_the_oldest_are_dropped_by_age(store: HubStore) -> None:
    await a_pair(store)
    await store.store_copies(PAIR, [make_copy(n, arrived_ms=n * 1_000) for n in (1, 2, 3)])
    (dropped,) = await store.drop_copies(before_ms=2_500, stored_bytes_max=10**9)
    assert (dropped.pair_id, dropped.side, dropped.epochs) == (PAIR, S, (HeldEpoch(SEGMENT, EPOCH, [1, 2]),))
    assert await store.drop_copies(before_ms=2_500, stored_bytes_max=10**9) == []
    assert await load(store) == [3]


async def test_the_oldest_are_dropped_by_cap_over_all_pairs(store: HubStore) -> None:
    await a_pair(store)
    await a_pair(store, b"q" * 16)
    await store.store_copies(PAIR, [make_copy(1)])
    await store.store_copies(b"q" * 16, [make_copy(1)])
    await store.store_copies(PAIR, [make_copy(2)])
    dropped = await store.drop_copies(before_ms=0, stored_bytes_max=60 + HUB_COPY_ROW_BYTES, copies_max=1)
    dropped += await store.drop_copies(before_ms=0, stored_bytes_max=60 + HUB_COPY_ROW_BYTES, copies_max=1)
    assert await store.drop_copies(before_ms=0, stored_bytes_max=60 + HUB_COPY_ROW_BYTES) == []
    assert [one.pair_id for one in dropped] == [PAIR, b"q" * 16]
    assert await load(store) == [2]


async def test_backlogs_count_what_waits(store: HubStore) -> None:
    await a_pair(store)
    assert await store.backlogs() == []
    await store.store_copies(PAIR, [make_copy(1, arrived_ms=7_000), make_copy(1, arrived_ms=5_000, kind=CONTROL)])
    (backlog,) = await store.backlogs()
    assert (backlog.pair_id, backlog.side) == (PAIR, S)
    assert (backlog.copies_count, backlog.oldest_ms) == (2, 5_000)
    assert backlog.stored_bytes == 100 + 2 * HUB_COPY_ROW_BYTES
    await store.trim_copies(PAIR, S, SEGMENT, EPOCH, [1, 1])
    await store.trim_copies(PAIR, S, CONTROL, EPOCH, [1, 1])
    assert await store.backlogs() == []


# --- operators -------------------------------------------------------------------------------------------------------


async def test_the_first_user_is_made_once(store: HubStore) -> None:
    await store.add_user(User("admin", "hash", 1_000), only_first=True)
    assert await refusal_of(store.add_user(User("eve", "hash", 1_000), only_first=True)) == "exists"
    assert await refusal_of(store.add_user(User("admin", "other", 1_000))) == "exists"
    assert await store.user("admin") == User("admin", "hash", 1_000)
    assert await store.user("eve") is None
    assert await store.users_count() == 1


async def test_sessions_live_until_they_are_closed_or_stale(store: HubStore) -> None:
    await store.add_user(User("admin", "hash", 1_000))
    rows = [SessionRow(bytes([n]) * 32, "admin", n * 1_000, n * 1_000, "::1", "browser") for n in (1, 2, 3)]
    for row in rows:
        await store.insert_session(row)
    await store.touch_session(rows[2].id_hash, 9_000)
    assert await store.find_session(rows[2].id_hash) == replace(rows[2], used_ms=9_000)
    await store.delete_session(rows[0].id_hash)
    await store.delete_stale_sessions(0, 2_500)
    assert [await store.find_session(row.id_hash) is not None for row in rows] == [False, False, True]
    await store.delete_sessions_of("admin")
    assert await store.find_session(rows[2].id_hash) is None


async def test_the_audit_is_chained_and_newest_first(store: HubStore) -> None:
    for n in (1, 2, 3):
        await store.add_audit(at_ms=n, who="admin", where="::1", action="site.revoke", what=f"site {n}")
    newest = await store.audit(rows_max=2)
    assert [row.number for row in newest] == [3, 2]
    assert newest[0].what == "site 3"
    assert [row.number for row in await store.audit(rows_max=2, before=2)] == [1]
    assert len({row.chain for row in await store.audit(rows_max=9)}) == 3


# --- what only a disk can do -----------------------------------------------------------------------------------------


async def test_a_store_that_works_beats_and_says_that_it_does(store: HubStore) -> None:
    await a_pair(store)
    await store.beat()
    assert (store.figures().waiting, store.figures().failing) == (0, False)


async def test_a_store_opened_again_has_everything(tmp_path: Path) -> None:
    before = await SqliteStore.open(tmp_path)
    pair = await a_pair(before)
    await before.store_copies(PAIR, [make_copy(1)])
    await before.close()
    after = await SqliteStore.open(tmp_path)
    assert [stored.certificate for stored in await after.pairs()] == [pair.certificate]
    assert await load(after) == [1]
    await after.close()


async def test_what_goes_into_a_deleted_file_is_not_called_stored(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await a_pair(store)
    await store.check()
    (tmp_path / DATABASE_NAME).unlink()
    with pytest.raises(StorageFailed):
        await store.check()
    with pytest.raises(StorageFailed):
        await store.store_copies(PAIR, [make_copy(1)])
    await store.close()


# --- repairs and notices ---------------------------------------------------------------------------------------------


def a_repair(
    code: str = "disk_low", since_ms: int = 1_000, *, told: bool = False, cleared_ms: int | None = None
) -> Repair:
    return Repair(Finding(code, facts=(("free", "1 GiB"), ("limit", "2 GiB"))), since_ms, told, cleared_ms)


async def test_a_repair_is_kept_as_it_stands_last(store: HubStore) -> None:
    await store.save_repairs([a_repair(), a_repair("copies_near_cap", 500), a_repair("of_another_release")], [])
    assert await store.open_repairs() == [a_repair("copies_near_cap", 500), a_repair()]
    await store.save_repairs([a_repair(told=True), a_repair("copies_near_cap", 500, cleared_ms=3_000)], [])
    assert await store.open_repairs() == [a_repair(told=True)]
    await store.save_repairs([a_repair(told=True, cleared_ms=4_000), a_repair(since_ms=5_000)], [])
    assert await store.open_repairs() == [a_repair(since_ms=5_000)]
    over = [a_repair(told=True, cleared_ms=4_000), a_repair("copies_near_cap", 500, cleared_ms=3_000)]
    assert await store.cleared_repairs(9) == over
    assert await store.cleared_repairs(1) == over[:1]


async def test_repairs_that_are_over_are_let_go_by_age_and_number_and_open_ones_never(store: HubStore) -> None:
    over = [a_repair(since_ms=at, cleared_ms=at + 1) for at in range(REPAIRS_KEPT_MAX + 2)]
    await store.save_repairs([*over, a_repair("copies_near_cap", 0)], [])
    await store.forget_repairs(now_ms=0)
    kept = await store.cleared_repairs(len(over))
    assert [repair.since_ms for repair in kept] == list(range(REPAIRS_KEPT_MAX + 1, 1, -1))
    await store.forget_repairs(now_ms=REPAIRS_KEPT_MS + REPAIRS_KEPT_MAX)
    assert [repair.cleared_ms for repair in await store.cleared_repairs(9)] == [502, 501, 500]
    assert await store.open_repairs() == [a_repair("copies_near_cap", 0)]


async def test_a_notice_waits_for_each_of_its_channels_until_it_is_forgotten(store: HubStore) -> None:
    first, second = (Notice(f"msg_{at}", "repairs", at, "hub", "key", "", place="hub") for at in (1, 2))
    await store.save_repairs([], [("webhook", second), ("e-mail", second)])
    await store.save_repairs([a_repair(told=True)], [("webhook", first), ("webhook", second)])
    assert await store.waiting_notices("webhook") == [first, second]
    assert await store.waiting_notices("e-mail") == [second]
    await store.forget_notices([("webhook", "msg_2"), ("webhook", "msg_9")])
    assert await store.waiting_notices("webhook") == [first]
    assert await store.waiting_notices("e-mail") == [second]
