"""The reserve of a hub's disk: what its own file does not use any more is room for what comes (N6)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hub.store.sqlite import DATABASE_NAME, SqliteStore
from shared.disk_reserve import DiskReserve
from shared.errors import StorageFailed
from shared.sealing import Kind, Side
from tests.hub.builders import TestPair, TestSite, make_copy

_MIB = 2**20


class _SteppedClock:
    """A second further with each look."""

    def __init__(self) -> None:
        self._now_ms = 0

    def wall_ms(self) -> int:
        return self.monotonic_ms()

    def monotonic_ms(self) -> int:
        self._now_ms += 1_000
        return self._now_ms


async def test_n6_a_disk_that_a_backlog_filled_takes_copies_again_once_it_was_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(free=100 * _MIB)
    monkeypatch.setattr("shared.disk_reserve.shutil.disk_usage", lambda _: disk)
    reserve = DiskReserve(tmp_path / DATABASE_NAME, 4 * _MIB, _SteppedClock(), "no copies are kept")
    store = await SqliteStore.open(tmp_path, reserve)
    try:
        pair = TestPair(TestSite("plant"), TestSite("office"))
        await store.register_pair(pair.certificate, pair.packed, now_ms=1)
        copies = [make_copy(number, body=b"b" * 60_000) for number in range(1, 71)]
        await store.store_copies(pair.pair_id, copies)
        disk.free = 2 * _MIB
        with pytest.raises(StorageFailed, match="less than its reserve"):
            await store.store_copies(pair.pair_id, [make_copy(101)])
        assert "no copies are kept" in store.figures().problem
        await store.trim_copies(pair.pair_id, Side.SOURCE, Kind.SEGMENT, copies[0].epoch, (1, 70))
        assert store.figures().problem == ""
        await store.store_copies(pair.pair_id, [make_copy(101)])
        disk.free = _MIB // 2  # the log would have no room
        with pytest.raises(StorageFailed, match="less than its reserve"):
            await store.store_copies(pair.pair_id, [make_copy(102)])
    finally:
        await store.close()  # else its threads would keep a run from ending in which this fails
