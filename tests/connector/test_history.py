"""History in all its forms: whatever is folded when, the same readings are found, each once, the greater of two (G6)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from connector import history, history_damage
from connector.history_folding import Folding, fold, fold_all, fold_rows, make_portion, next_bite, write_portion
from connector.history_parts import codec
from shared.columns import Series, Value, as_columns
from shared.database_connections import DamageMet
from shared.limits import (
    DAY_MS,
    HISTORY_CHUNK_READINGS_MAX,
    HISTORY_CHUNK_TEXT_BYTES_MAX,
    HISTORY_FOLD_MADE_MAX,
    HISTORY_FOLD_SERIES_MAX,
    HISTORY_LOOSE_ROWS_MAX,
    HISTORY_RECENT_MAX,
    HISTORY_ROWS_MAX,
)
from shared.migration import migrate
from tests.connector.site_stage import NOON_MS, SetClock, line, lone_site, make_connector, stored
from tests.core.stores import CONNECTOR, NOW_MS, add_device, add_resource, open_store

_FAR_MS = history.FAR_MS
_VALUES: dict[str, list[Value]] = {"number": [-0.5, 1.25, 7.0], "string": ["a", "ä", "b"], "boolean": [True, False]}


def database(*kinds: str) -> tuple[sqlite3.Connection, list[int]]:
    """Return a database with one series of each format, and their IDs."""
    store = open_store(*(f"r{at}" for at in range(len(kinds))))
    ids = []
    for at, kind in enumerate(kinds):
        add_resource(store, f"r{at}", kind)
        row = store._catalogue.find(store.connection, CONNECTOR, "d", f"r{at}")
        assert row is not None
        ids.append(row.series_id)
    return store.connection, ids


def add(connection: sqlite3.Connection, series_id: int, found: dict[int, Value], kind: str = "number") -> None:
    """Add readings as a batch of one series."""
    one = Series("d", "r", kind, list(found), list(found.values()))  # type: ignore[arg-type]
    history.add(connection, CONNECTOR, as_columns([one]), [series_id])


def tables(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many rows, recent batches and chunks there are."""
    return tuple(
        connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in ("reading", "recent", "chunk")
    )


@pytest.mark.parametrize("seed", range(6))
def test_every_question_is_answered_as_by_a_table_of_rows_whatever_was_folded(seed: int) -> None:
    chance = random.Random(seed)
    kinds = ("number", "string", "boolean")
    connection, ids = database(*kinds)
    model: dict[int, dict[int, Value]] = {series_id: {} for series_id in ids}
    for _ in range(40):
        at = chance.randrange(3)
        series_id, kind = ids[at], kinds[at]
        start_ms = chance.randrange(5_000)
        count = chance.choice((1, 3, HISTORY_ROWS_MAX + 1, 300))
        times = chance.sample(range(start_ms, start_ms + 2_000), count)
        found: dict[int, Value] = {at_ms: chance.choice(_VALUES[kind]) for at_ms in times}
        add(connection, series_id, found, kind)
        for at_ms, value in found.items():
            model[series_id][at_ms] = max(value, model[series_id].get(at_ms, value))
        done = chance.randrange(6)
        if done == 0:
            fold_all(connection)
        elif done == 1 and (bite := next_bite(connection, everything=True)) is not None:
            fold(connection, bite, 0)
        elif done == 2:
            fold_rows(connection, everything=True)
    for series_id in ids:
        there = sorted(model[series_id].items())
        assert history.between(connection, series_id) == there
        assert [type(value) for _, value in history.between(connection, series_id)] == [
            type(value) for _, value in there
        ]
        for _ in range(20):
            low, high, limit = chance.randrange(7_000), chance.randrange(7_000), chance.choice((-1, 0, 1, 10, 500))
            wanted = [row for row in there if low <= row[0] < high]
            assert history.between(connection, series_id, low, high, limit) == (wanted if limit < 0 else wanted[:limit])
            assert history.latest(connection, series_id, max(limit, 0)) == (there[-limit:] if limit > 0 else [])
            some = chance.sample(range(7_000), 30)
            assert history.at(connection, series_id, some) == {
                at: model[series_id][at] for at in some if at in model[series_id]
            }
    fold_all(connection)
    assert tables(connection)[:2] == (0, 0)


def test_a_bite_that_is_done_twice_changes_nothing() -> None:
    connection, (series_id,) = database("number")
    add(connection, series_id, {at: float(at) for at in range(3_000)})
    bite = next_bite(connection, everything=True)
    assert bite is not None
    assert fold(connection, bite, 0) is None
    fold(connection, bite, 0)  # as after a crash between the chunks and the end
    assert history.between(connection, series_id) == [(at, float(at)) for at in range(3_000)]


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("keeps_ms", [0, DAY_MS, 10 * DAY_MS])
def test_chunks_made_beside_the_writer_are_made_anew_where_others_have_changed_meanwhile(
    keeps_ms: int, grows: bool
) -> None:
    connection, (series_id,) = database("number")
    first: dict[int, Value] = {NOW_MS - at * DAY_MS: 1.0 for at in range(5, 105)}
    add(connection, series_id, first)
    fold_all(connection)
    connection.execute("UPDATE chunk SET growing = ?", (grows,))
    # Two of these are in that chunk already: one with the same value, one with a greater one.
    second: dict[int, Value] = {NOW_MS - at * DAY_MS: 2.0 if at == 6 else 1.0 for at in range(7)}
    second |= dict.fromkeys(range(NOW_MS + 1, NOW_MS + 200), 3.0)
    add(connection, series_id, second)
    bite = next_bite(connection, everything=True)
    assert bite is not None
    portion = make_portion(connection, bite, 0)
    assert portion.made
    connection.execute("UPDATE resource SET retention_ms = ?", (keeps_ms,))
    history.forget_expired(connection, NOW_MS, after=0, limit=10)
    write_portion(connection, bite, portion)
    from_ms = NOW_MS - keeps_ms if keeps_ms else 0
    wanted = {at: value for at, value in first.items() if at >= from_ms} | second
    assert history.between(connection, series_id) == sorted(wanted.items())
    assert tables(connection)[:2] == (0, 0)


def test_what_was_erased_with_its_connector_does_not_come_back_out_of_a_bite() -> None:
    connection, (series_id,) = database("number")
    add(connection, series_id, dict.fromkeys(range(100), 1.0))
    bite = next_bite(connection, everything=True)
    assert bite is not None
    portion = make_portion(connection, bite, 0)
    history.forget_connector(connection, CONNECTOR)
    write_portion(connection, bite, portion)
    assert tables(connection) == (0, 0, 0)


def test_rows_become_a_batch_of_many_series_and_long_texts_several() -> None:
    connection, ids = database("number", "string", "boolean")
    for at in range(40):
        add(connection, ids[0], {at: float(at)})
        add(connection, ids[1], {at: "x" * (HISTORY_CHUNK_TEXT_BYTES_MAX // 40)}, "string")
        add(connection, ids[2], {at: at % 2 == 0}, "boolean")
    assert fold_rows(connection, everything=True)
    assert tables(connection)[0] > 0, "a batch has no more than a quarter of its texts"
    assert tables(connection)[1:] == (1, 0)
    while fold_rows(connection, everything=True):
        pass
    assert 3 < tables(connection)[1] < 9
    assert history.between(connection, ids[2]) == [(at, at % 2 == 0) for at in range(40)]
    assert [len(history.between(connection, series_id)) for series_id in ids] == [40, 40, 40]


def test_rows_that_are_of_no_series_any_more_are_not_kept_in_a_batch() -> None:
    store = open_store()
    row = store._catalogue.find(store.connection, CONNECTOR, "d", "r")
    assert row is not None
    add(store.connection, row.series_id, {1: 1.0})
    store.connection.execute("DELETE FROM device")
    assert fold_rows(store.connection, everything=True)
    assert tables(store.connection) == (0, 0, 0)


def test_a_trickle_ends_in_few_chunks_and_is_left_alone_while_it_is_little() -> None:
    connection, (series_id,) = database("number")
    for at in range(4 * HISTORY_CHUNK_READINGS_MAX):
        add(connection, series_id, {at: 1.0})
        if at % 1_000 == 0:
            fold_rows(connection)
    assert not fold_rows(connection)
    assert tables(connection)[0] <= HISTORY_LOOSE_ROWS_MAX
    fold_all(connection)
    assert tables(connection)[:2] == (0, 0)
    assert tables(connection)[2] <= 8
    assert len(history.between(connection, series_id)) == 4 * HISTORY_CHUNK_READINGS_MAX


@pytest.mark.parametrize("added", [170, 2_700])
def test_chunks_fill_the_pages_of_the_database_whatever_comes_at_a_time(added: int) -> None:
    connection, (series_id,) = database("number")
    chance = random.Random(added)
    value = 20.0
    for start in range(0, 30_000, added):
        found: dict[int, Value] = {}
        for at in range(start, start + added):
            value += chance.gauss(0, 0.05)
            found[1_000 * at + chance.randint(-5, 5)] = round(value, 2)
        add(connection, series_id, found)
        fold_all(connection)
    connection.execute("ATTACH ':memory:' AS weighed")
    connection.execute("CREATE TABLE weighed.chunk AS SELECT * FROM main.chunk WHERE NOT growing ORDER BY row")
    (pages,) = connection.execute("PRAGMA weighed.page_count").fetchone()
    readings, body_bytes = connection.execute("SELECT SUM(count), SUM(LENGTH(body)) FROM weighed.chunk").fetchone()
    assert readings > 20_000
    # Beside them are the schema, the root, and a page that is half empty, for it is the last.
    assert (pages - 3) * 4_096 < 1.1 * body_bytes


def test_a_chunk_grown_too_large_is_cut_in_two_that_are_not_opened_again() -> None:
    connection, (series_id,) = database("number")
    for start, stop in (0, 2_500), (2_500, 5_000), (5_000, 8_500):
        add(connection, series_id, {at: float(at) for at in range(start, stop)})
        fold_all(connection)
    found = connection.execute("SELECT count, growing FROM chunk").fetchall()
    assert [tuple(row) for row in found] == [(4_250, 0), (4_250, 0)]


def test_a_backlog_that_comes_from_both_its_ends_leaves_no_chunk_across_what_is_still_to_come() -> None:
    connection, (series_id,) = database("number")
    sent, part = 60_000, 2_000
    for low in range(0, sent // 2, part):
        oldest, newest = range(low // 10, (low + part) // 10), range(sent - low - part, sent - low)
        add(connection, series_id, {1_000 * at: float(at) for at in (*newest, *oldest)})
        fold_all(connection)
        spans = connection.execute("SELECT last_ms - first_ms FROM chunk").fetchall()
        assert max(span for (span,) in spans) <= 1_000 * HISTORY_CHUNK_READINGS_MAX
    (chunks,) = connection.execute("SELECT COUNT(*) FROM chunk").fetchone()
    assert chunks <= 8
    assert [at for at, _ in history.between(connection, series_id)] == [
        1_000 * at for at in (*range(sent // 20), *range(sent // 2, sent))
    ]


@pytest.mark.parametrize("at_once", [1, 60, 300])
def test_bursts_that_lie_far_apart_do_not_end_in_tiny_chunks(at_once: int) -> None:
    connection, (series_id,) = database("number")
    bursts = 6_000 // at_once
    for burst in range(bursts):
        add(connection, series_id, {burst * 7 * DAY_MS + at: float(at) for at in range(at_once)})
        if at_once > 1 or burst % 100 == 99:
            fold_all(connection)
    (chunks,) = connection.execute("SELECT COUNT(*) FROM chunk").fetchone()
    assert chunks <= max(6_000 // 256, bursts if at_once >= 256 else 0) + 1
    assert len(history.between(connection, series_id)) == 6_000


def test_batches_of_many_series_with_few_readings_are_folded_into_greater_ones_first() -> None:
    store = open_store(devices=tuple(f"d{at}" for at in range(HISTORY_FOLD_SERIES_MAX + 50)))
    names = [f"d{at}" for at in range(HISTORY_FOLD_SERIES_MAX + 50)]
    rows = [store._catalogue.find(store.connection, CONNECTOR, name, "r") for name in names]
    ids = [row.series_id for row in rows if row is not None]
    for second in range(HISTORY_RECENT_MAX + 1):
        batch = [Series(name, "r", "number", [1_000 * second + at], [float(at)]) for at, name in enumerate(names)]
        history.add(store.connection, CONNECTOR, as_columns(batch), ids)
    bite = next_bite(store.connection)
    assert bite is not None
    assert fold(store.connection, bite, 0) is None
    assert tables(store.connection) == (0, 1, 0)
    bite = next_bite(store.connection, everything=True)
    assert bite is not None
    written = fold(store.connection, bite, 0)
    assert written == -(-HISTORY_FOLD_MADE_MAX // (HISTORY_RECENT_MAX + 1))  # the rest with the next units of work
    assert history.between(store.connection, ids[3]) == [(1_000 * at + 3, 3.0) for at in range(HISTORY_RECENT_MAX + 1)]
    while written is not None:
        written = fold(store.connection, bite, written)
    assert tables(store.connection) == (0, 0, len(ids))
    for series_id in (ids[3], ids[-1]):
        assert len(history.between(store.connection, series_id)) == HISTORY_RECENT_MAX + 1


def test_a_constant_series_packs_beyond_what_a_peer_may_send_and_is_read_all_the_same() -> None:
    connection, (series_id,) = database("number")
    count = 600_000
    add(connection, series_id, dict.fromkeys(range(count), 0.0))
    fold_all(connection)
    assert len(history.between(connection, series_id)) == count


def test_a_resource_that_had_another_format_keeps_what_it_had() -> None:
    connection, (series_id,) = database("number")
    add(connection, series_id, {1: 1.5, 2: 2.5})
    connection.execute("UPDATE resource SET format = 'string'")
    add(connection, series_id, dict.fromkeys(range(3, 103), "x"), "string")
    for _ in range(2):
        assert history.between(connection, series_id, 0, 5) == [(1, 1.5), (2, 2.5), (3, "x"), (4, "x")]
        fold_all(connection)


def test_what_is_older_than_its_resource_keeps_goes_and_a_chunk_is_cut() -> None:
    connection, (kept, cut) = database("number", "number")
    connection.execute("UPDATE resource SET retention_ms = 0 WHERE alias = 'r0'")
    connection.execute("UPDATE resource SET retention_ms = ? WHERE alias = 'r1'", (10 * DAY_MS,))
    for series_id in (kept, cut):
        add(connection, series_id, {NOW_MS - at * DAY_MS: 1.0 for at in range(100)})
    fold_all(connection)
    after: int | None = 0
    while after is not None:
        after = history.forget_expired(connection, NOW_MS, after=after, limit=1)
    assert len(history.between(connection, kept)) == 100
    assert [at for at, _ in history.between(connection, cut)] == [NOW_MS - at * DAY_MS for at in range(10, -1, -1)]


def expire(connection: sqlite3.Connection, now_ms: int) -> None:
    """Housekeeping in the smallest bites there are."""
    after: int | None = 0
    bites = 0
    while after is not None:
        assert (bites := bites + 1) < 1_000
        after = history.forget_expired(connection, now_ms, after=after, limit=1)


def test_what_waits_to_be_folded_is_kept_no_longer_than_its_resources_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_RECENT_LOOKED_AT_MAX", 3)
    monkeypatch.setattr(history, "HISTORY_FOLD_READINGS_MAX", 100)
    connection, ids = database("number", "number", "string")
    for alias, keeps_ms in (("r0", 0), ("r1", 10 * DAY_MS), ("r2", DAY_MS)):
        connection.execute("UPDATE resource SET retention_ms = ? WHERE alias = ?", (keeps_ms, alias))
    hourly = range(0, 30 * 24 * 3_600_000, 3_600_000)
    for day in range(30):  # of three series each, in no order
        times = [NOW_MS - ago for ago in reversed(hourly) if ago // DAY_MS == day]
        series = [Series("d", f"r{at}", ("number", "number", "string")[at], times, [1.5, 2.5, "x"][at : at + 1] * 24)
                  for at in range(3)]  # fmt: skip
        history.add(connection, CONNECTOR, as_columns(series), ids)
    add(connection, ids[1], {NOW_MS - ago: 2.5 for ago in hourly})  # from old to new, in one
    add(connection, ids[2], {NOW_MS - 20 * DAY_MS + at: "x" for at in range(100)}, "string")

    for now_ms in (NOW_MS, NOW_MS + DAY_MS // 2):
        expire(connection, now_ms)
        assert len(history.between(connection, ids[0])) == 30 * 24
        for series_id, keeps_ms in ((ids[1], 10 * DAY_MS), (ids[2], DAY_MS)):
            found = [at for at, _ in history.between(connection, series_id)]
            kept = [NOW_MS - ago for ago in reversed(hourly) if NOW_MS - ago >= now_ms - keeps_ms]
            assert found[-len(kept) :] == kept
            assert found[0] >= now_ms - keeps_ms - DAY_MS - 3_600_000, "a day late at most"
    assert tables(connection) == (0, 31, 0), "the batch of which nothing was kept is gone"
    fold_all(connection)
    assert len(history.between(connection, ids[0])) == 30 * 24
    connection.execute("UPDATE resource SET retention_ms = ?", (DAY_MS,))
    expire(connection, NOW_MS + 3 * DAY_MS)
    assert tables(connection) == (0, 0, 0)


def test_a_deleted_device_leaves_nothing_behind_once_history_is_folded() -> None:
    store = open_store()
    row = store._catalogue.find(store.connection, CONNECTOR, "d", "r")
    assert row is not None
    add(store.connection, row.series_id, dict.fromkeys(range(100), 1.0))
    store.connection.execute("DELETE FROM device")
    store._catalogue.forget()
    add_device(store, "d")
    again = store._catalogue.find(store.connection, CONNECTOR, "d", "r")
    fold_all(store.connection)
    assert tables(store.connection) == (0, 0, 0)
    assert again is None or history.between(store.connection, again.series_id) == []


def test_readings_and_waiting_segments_of_the_release_before_are_carried_over(tmp_path: Path) -> None:
    scripts = Path(__file__).parents[2] / "connector" / "sql"
    for name in ("0001_site.sql", "0002_resource_figures.sql"):
        (tmp_path / name).write_text((scripts / name).read_text(encoding="utf-8"), encoding="utf-8")
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, tmp_path)
    connection.executescript(
        "INSERT INTO connector (connector_id, name, role, created_ms) VALUES ('c', 'c', 'source', 0);"
        "INSERT INTO device (device_id, connector_id, identity, created_ms) VALUES (1, 'c', 'd', 0);"
        "INSERT INTO resource (resource_id, connector_id, alias, format, created_ms) VALUES (1, 'c', 'r', 'number', 0);"
        "INSERT INTO series (series_id, device_id, resource_id, last_ms) VALUES (1, 1, 1, 2);"
        "INSERT INTO reading VALUES (1, 1, 1.5), (1, 2, 2.5);"
        "INSERT INTO tail (connector_id, resource, accepted_ms, count, body) VALUES ('c', 'r', 7, 2, x'00');"
    )
    migrate(connection, scripts)
    assert history.between(connection, 1) == [(1, 1.5), (2, 2.5)]
    assert connection.execute("SELECT tail_count FROM waiting").fetchall() == [(2,)]
    connection.execute("DELETE FROM tail")
    assert connection.execute("SELECT tail_count FROM waiting").fetchall() == [(0,)]


async def test_folding_leaves_a_database_alone_in_which_there_is_nothing_to_fold(tmp_path: Path) -> None:
    async with lone_site(tmp_path) as site:
        folding = Folding(site.database)
        commits = site.database.commits
        assert not await folding.fold_once()
        assert site.database.commits == commits
        connector_id = await make_connector(site)
        await site.ingest(connector_id, b"\n".join(line("pump", "flow", 1.0, NOON_MS - at) for at in range(100)))
        assert not await folding.fold_once()
        assert await folding.fold_once(everything=True)
        assert len(await stored(site, connector_id, "flow")) == 100


# --- damage -------------------------------------------------------------------------------------------------------------


def _half_zero(body: bytes) -> bytes:
    return body[: len(body) // 2] + bytes(len(body) - len(body) // 2)


def _endless(body: bytes) -> bytes:
    return body[:4] + b"\xe0" + (1 << 50).to_bytes(8, "little") + body[6:]  # a length that would take all memory


def _of_another(body: bytes) -> bytes:
    other = Series("", "", "number", [5], [1.0])
    return codec().encode([other])


@pytest.mark.parametrize("damage", [_half_zero, _endless, _of_another, lambda body: body[:-9], lambda _: b""])
@pytest.mark.parametrize("table", ["recent", "chunk"])
def test_g7_what_cannot_be_read_is_set_aside_whoever_meets_it_and_all_else_goes_on(
    table: str, damage: Callable[[bytes], bytes]
) -> None:
    connection, (series_id,) = database("number")
    add(connection, series_id, {NOW_MS + at: at * 0.77 for at in range(300)})
    if table == "chunk":
        fold_all(connection)
    (body,) = connection.execute(f"SELECT body FROM {table}").fetchone()
    connection.execute(f"UPDATE {table} SET body = ?", (damage(body),))
    kept = connection.execute(f"SELECT body FROM {table}").fetchone()[0]
    late: dict[int, Value] = {NOW_MS + at: 1.0 for at in range(100, 200)}
    add(connection, series_id, late)
    connection.execute("SAVEPOINT whole")

    for meets in (
        lambda: fold_all(connection),
        lambda: history.between(connection, series_id),
        lambda: history.latest(connection, series_id, 500),
        lambda: history.at(connection, series_id, [NOW_MS + 3]),
    ):
        connection.execute("ROLLBACK TO whole")
        meets()
        assert connection.execute("SELECT body, count FROM damaged").fetchall() == [(kept, 300)]
        assert history.between(connection, series_id) == list(late.items())
        assert history_damage.spans(connection, series_id, 0, _FAR_MS) == [(NOW_MS, NOW_MS + 299)]
        assert history_damage.spans(connection, series_id + 1, 0, _FAR_MS) == []
    assert [each.count for each in history_damage.damages(connection)] == [300]
    history_damage.forget_expired(connection, NOW_MS + 400 * DAY_MS)
    assert history_damage.damages(connection) == ()


def test_g7_what_two_readers_met_is_set_aside_once_whatever_has_taken_its_place_meanwhile() -> None:
    connection, (series_id, other_id) = database("number", "number")
    many: dict[int, Value] = {NOW_MS + at: at * 0.77 for at in range(300)}
    add(connection, series_id, many)
    fold_all(connection)
    connection.execute("UPDATE chunk SET body = zeroblob(LENGTH(body))")
    connection.execute("PRAGMA query_only = 1")
    met = []
    for _ in range(2):
        with pytest.raises(DamageMet) as caught:
            history.between(connection, series_id)
        met.append(caught.value)
    connection.execute("PRAGMA query_only = 0")
    met[0].set_aside(connection)
    add(connection, other_id, many)
    fold_all(connection)
    assert connection.execute("SELECT row, series_id FROM chunk").fetchall() == [(1, other_id)]
    met[1].set_aside(connection)
    assert history.between(connection, other_id) == list(many.items())
    assert connection.execute("SELECT series_id, count FROM damaged").fetchall() == [(series_id, 300)]


async def test_g7_damage_that_a_reader_meets_costs_what_was_there_and_is_a_repair(
    tmp_path: Path,
) -> None:
    clock = SetClock()
    async with lone_site(tmp_path, clock) as site:
        connector_id = await make_connector(site)
        many = [line("pump", "flow", at * 0.77, NOON_MS + at) for at in range(60)]
        await site.ingest(connector_id, b"\n".join(many))
        await site.database.write(lambda c: c.execute("UPDATE recent SET body = zeroblob(LENGTH(body))").rowcount)
        some, others = b"\n".join(many[:2]), line("pump", "level", 1.0, NOON_MS)
        taken = await asyncio.gather(site.ingest(connector_id, some), site.ingest(connector_id, others))
        assert [outcome.accepted for outcome in taken] == [2, 1], "what is gone may come again"
        assert await stored(site, connector_id, "flow") == [(NOON_MS, 0.0), (NOON_MS + 1, 0.77)]
        assert await stored(site, connector_id, "level") == [(NOON_MS, 1.0)]
        await site.repairs._look()
        (repair,) = [each for each in site.repairs.open() if each.finding.code == "history_damaged"]
        assert "60 readings of m back damaged, from 2025-11-20T14:00:00.000Z" in repair.cause
