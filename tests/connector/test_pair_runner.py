"""What a pair's engine wants sent goes after the commit of the work it came from, and not at all where that is undone (G3)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from connector import connectors
from connector.catalogue import Catalogue
from connector.pair_runner import PairRunner
from connector.streams import Streams
from shared.batches import BatchCodec, Series
from shared.clock import SystemClock
from shared.core.clock_guard import ClockGuard
from shared.core.completion import PairState
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Send
from shared.core.entries import Private, encode_entry
from shared.core.fields import EXISTS, device_object
from shared.core.outbox import OutboxLimits
from shared.database import Database
from shared.errors import Refused, StorageFailed
from shared.messages import (
    LANE_BACKFILL,
    LANE_LIVE,
    AnyFrame,
    AskHeld,
    AskStatement,
    Credit,
    Recorded,
    Sealed,
    Statement,
    decode_recorded,
    encode_recorded,
)
from shared.rig.client import until
from shared.sealing import Kind, PairKeys, Side

CONNECTOR = "C0NNECT0"
Unit = Callable[[PairEngine, Streams, int], tuple[None, list[Effect]]]


class Outlet:
    """A link that notes, with each frame, what another process finds in the database at that moment."""

    def __init__(self, database: Path) -> None:
        self.sent: list[tuple[AnyFrame, set[str]]] = []
        self.aborted: list[str] = []
        self._database = database

    def send(self, frame: AnyFrame) -> None:
        with closing(sqlite3.connect(self._database)) as connection:
            self.sent.append((frame, {row[0] for row in connection.execute("SELECT name FROM meta")}))

    def abort(self, why: str) -> None:
        self.aborted.append(why)


class Gathered:
    """What units of work gather; it fails where that is asked for."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.undone = 0
        self._failure = failure

    def finish(self, engine: PairEngine, store: Streams, now_ms: int) -> list[Effect]:
        if self._failure is not None:
            raise self._failure
        return [Send(Credit(now_ms))]

    def on_undone(self) -> None:
        self.undone += 1


@asynccontextmanager
async def linked(folder: Path, side: Side = Side.SOURCE) -> AsyncIterator[tuple[PairRunner, Outlet]]:
    """A pair at work on a link, for the time of a block; what the link's opening sends is left out."""
    path = folder / "site.db"
    database = await Database.open(path, files("connector") / "sql")
    await database.write(lambda c: connectors.create_connector(c, CONNECTOR, "boilers", side.word, 0))
    pair = connectors.Pair(
        CONNECTOR,
        b"p" * 16,
        side,
        PairState.PAIRED,
        b"r" * 32,
        b"",
        "",
        "s",
        "office",
        "TGT",
        b"",
        0,
        0,
        0,
        True,
    )
    runner = PairRunner(
        database=database,
        catalogue=Catalogue(),
        pair=pair,
        site_id="here",
        limits=OutboxLimits(),
        clock=SystemClock(),
        guard=ClockGuard(),
        ring=lambda what: None,
    )
    outlet = Outlet(path)
    try:
        await runner.open_link(outlet, peer_linked=True, credit_bytes=1_000_000)
        outlet.sent.clear()
        yield runner, outlet
    finally:
        await database.close()


def store(name: str, *frames: Any, failure: Exception | None = None) -> Unit:
    """A unit of work that stores a fact and has frames sent, or fails once it has stored."""

    def unit(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
        streams.connection.execute("INSERT INTO meta VALUES (?, 1)", (name,))
        if failure is not None:
            raise failure
        return None, [Send(frame) for frame in frames]

    return unit


async def test_g3_a_frame_goes_once_what_it_speaks_of_is_committed(tmp_path: Path) -> None:
    async with linked(tmp_path) as (runner, outlet):
        gathered = Gathered()
        await asyncio.gather(*(runner.run(store(name, AskHeld()), gathered) for name in ("one", "two")))
        assert len(outlet.sent) == 3
        assert all({"one", "two"} <= seen for _, seen in outlet.sent)


@pytest.mark.parametrize("where", ["in a unit", "at the end"])
async def test_g3_nothing_goes_of_a_transaction_that_is_undone_and_the_link_starts_over(
    tmp_path: Path, where: str
) -> None:
    async with linked(tmp_path) as (runner, outlet):
        failure = sqlite3.OperationalError("the disk says no")
        in_unit, at_end = (failure, None) if where == "in a unit" else (None, failure)
        gathered = Gathered(at_end)
        works = [store("one", AskHeld()), store("two", AskHeld(), failure=in_unit)]
        results = await asyncio.gather(*(runner.run(work, gathered) for work in works), return_exceptions=True)
        assert [type(result) for result in results] == [StorageFailed, StorageFailed]
        assert (outlet.sent, gathered.undone) == ([], 1)
        assert outlet.aborted, "what the engine believes may not be so"
        await runner.run(store("three", AskHeld()))
        assert [seen & {"one", "two", "three"} for _, seen in outlet.sent] == [{"three"}]


@pytest.mark.parametrize("when", ["before it has stored", "once it has stored"])
async def test_a_refusal_undoes_its_own_unit_and_sends_what_the_others_want(tmp_path: Path, when: str) -> None:
    def refuse(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
        raise Refused("not_found", what="thing")

    async with linked(tmp_path) as (runner, outlet):
        at_once = when == "before it has stored"
        work = refuse if at_once else store("one", Credit(1), failure=Refused("not_found", what="thing"))
        results = await asyncio.gather(runner.run(work), runner.run(store("two", Credit(2))), return_exceptions=True)
        assert [type(result) for result in results] == [Refused, type(None)]
        assert [(frame, seen & {"one", "two"}) for frame, seen in outlet.sent] == [(Credit(2), {"two"})]
        assert bool(outlet.aborted) is not at_once, "what the engine believes may have been undone with it"


def _peer(kind: Kind, plain: bytes, number: int, public: bytes = b"") -> tuple[bytes, bytes]:
    keys = PairKeys(b"p" * 16, Side.SOURCE, {1: b"r" * 32})
    now_ms = SystemClock().wall_ms()
    return keys.seal(
        kind, plain, epoch=5, number=number, accepted_ms=now_ms, count=1, nonce=b"n" * 12, associated=public
    )


def _segment(number: int) -> Sealed:
    series = Series("pump", "flow", "number", [SystemClock().wall_ms()], [1.0])
    return Sealed(LANE_LIVE, *_peer(Kind.SEGMENT, BatchCodec().encode([series]), number))


def _stated(outlet: Outlet) -> list[int]:
    """The numbers that were acknowledged."""
    words = [decode_recorded(frame.public) for frame, _ in outlet.sent if isinstance(frame, Statement)]
    return [end for word in words for part in word.segments for end in part.recorded]


async def test_g3_a_segment_whose_unit_was_refused_is_not_acknowledged_before_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, Side.TARGET) as (runner, outlet):
        await runner.open_link(outlet, peer_linked=True, credit_bytes=1_000_000)
        asked = next(frame for frame, _ in outlet.sent if isinstance(frame, AskStatement))
        public = encode_recorded(Recorded(asked.nonce, True, [], []))
        private = encode_entry(Private([], None, SystemClock().wall_ms(), b"", b"otherwise"))
        fresh, body = _peer(Kind.STATEMENT, private, 1, public)
        with monkeypatch.context() as patched:
            patched.setattr("shared.core.control.CONTROL_ENTRY_BYTES_MAX", 1)  # so that it can be told no definitions
            with pytest.raises(Refused, match="too much"):
                await runner.take([_segment(1), Statement(fresh, public, body)])
        assert outlet.aborted
        await runner.close_link()
        await runner.open_link(outlet, peer_linked=True, credit_bytes=1_000_000)
        outlet.sent.clear()
        await runner.take([_segment(2)])
        assert _stated(outlet) == [2, 2], "the one that is stored, and not what was undone"
        await runner.take([_segment(1)])
        assert _stated(outlet) == [2, 2, 1, 2], "it came again and is stored now"
        with closing(sqlite3.connect(tmp_path / "site.db")) as connection:
            assert connection.execute("SELECT SUM(count) FROM held").fetchone() == (2,)


async def test_g1_what_one_unit_applied_is_counted_although_a_later_one_of_its_transaction_is_undone(
    tmp_path: Path,
) -> None:
    def define(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
        streams.connection.execute(
            "INSERT INTO resource (connector_id, alias, format, remote_sync, created_ms) VALUES (?, 'flow', 'number', 1, 0)",
            (CONNECTOR,),
        )
        engine.edit(streams, [(device_object("pump"), EXISTS, "1")], now_ms)
        return None, []

    async with linked(tmp_path, Side.TARGET) as (runner, _outlet):
        await runner.run(define)
        undone = runner.run(store("one", failure=ValueError("odd")))
        await asyncio.gather(runner.take([_segment(1)]), undone, return_exceptions=True)
        with closing(sqlite3.connect(tmp_path / "site.db")) as connection:
            assert connection.execute("SELECT resource, applied_count FROM waiting").fetchall() == [("flow", 1)]


async def test_g6_what_came_of_a_backlog_gives_way_at_the_writer_to_what_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.WRITER_PATIENCE_S", 60.0)  # however slow this machine is
    async with linked(tmp_path) as (runner, _outlet):
        begun, go_on = threading.Event(), threading.Event()
        over: list[str] = []

        def hold(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            begun.set()
            assert go_on.wait(5)
            return None, []

        async def take(lane: int, name: str) -> None:
            await runner.take([Sealed(lane, bytes((1, Kind.SEGMENT)), b"broken")])
            over.append(name)

        holding = asyncio.ensure_future(runner.run(hold))
        await asyncio.to_thread(begun.wait, 5)
        taking = [asyncio.ensure_future(take(LANE_BACKFILL, "old")), asyncio.ensure_future(take(LANE_LIVE, "live"))]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(holding, *taking)
        assert over == ["live", "old"]


async def test_frames_that_nobody_waits_for_are_taken_also_after_a_transaction_that_was_undone(tmp_path: Path) -> None:
    async with linked(tmp_path) as (runner, outlet):
        failed: asyncio.Queue[Exception] = asyncio.Queue()
        undone = asyncio.ensure_future(runner.run(store("one", failure=sqlite3.OperationalError("no"))))
        await asyncio.sleep(0)
        assert runner.begin_take(Credit(5), failed.put_nowait)
        assert isinstance(await asyncio.wait_for(failed.get(), 5), StorageFailed)
        await asyncio.gather(undone, return_exceptions=True)
        await runner.open_link(outlet, peer_linked=True, credit_bytes=1_000)
        assert all(runner.begin_take(Credit(amount), failed.put_nowait) for amount in (7, 8))
        await runner.run(store("two"))
        assert runner.credit is not None
        assert (runner.credit[0], failed.empty()) == (1_015, True)


@pytest.mark.parametrize("failure", [ValueError("odd"), Refused("invalid", what="What", why="too much")])
async def test_g5_what_is_due_goes_on_whatever_the_transaction_failed_of_that_it_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr("connector.pair_runner._DUE_AGAIN_S", 0.01)
    monkeypatch.setattr("connector.deadline._WAIT_MS_MAX", 10)
    looked, look = 0, PairRunner._on_time

    def on_time(*args: Any, **kwargs: Any) -> tuple[None, list[Effect]]:
        nonlocal looked
        looked += 1
        return look(*args, **kwargs)

    monkeypatch.setattr(PairRunner, "_on_time", on_time)
    async with linked(tmp_path) as (runner, _outlet):
        database, shared = runner._database, Gathered(failure)
        begun, go_on = threading.Event(), threading.Event()

        def hold(engine: PairEngine, streams: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            begun.set()
            assert go_on.wait(5)
            return None, []

        async def both_wait() -> bool:
            return database.figures().waiting >= 2

        async def was_at_work() -> bool:
            return looked >= 2  # in the transaction that failed, and by itself

        holding = asyncio.ensure_future(runner.run(hold))
        await asyncio.to_thread(begun.wait, 5)
        keeping = asyncio.ensure_future(runner.keep_time())
        failing = asyncio.ensure_future(runner.run(store("one"), shared))
        try:
            await until(both_wait, timeout_s=5, every_s=0.005, what="the deadline to wait for the writer")
            go_on.set()
            await asyncio.gather(holding, failing, return_exceptions=True)
            assert shared.undone == 1
            await until(was_at_work, timeout_s=5, every_s=0.005, what="the deadline to be looked at again")
            assert not keeping.done()
        finally:
            go_on.set()
            keeping.cancel()


async def test_g16_what_is_due_ends_with_the_pair(tmp_path: Path) -> None:
    async with linked(tmp_path) as (runner, _outlet):
        keeping = asyncio.ensure_future(runner.keep_time())
        await runner.end(lambda store: None, lambda connection, store, now_ms: None, lambda: None)
        await asyncio.wait_for(keeping, 5)
