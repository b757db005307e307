"""An inbox in SQLite: epochs, held readings and quarantine of what the other side's connector originates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connector.pair_rows import UNREADABLE, PairRows, epoch_rest, pack
from shared.columns import Columns
from shared.core.ports import EpochIn, HeldChunk, Quarantined
from shared.limits import QUARANTINE_ROW_BYTES

_log = logging.getLogger(__name__)
_QUARANTINED = "quarantine_id, kind, epoch, number, count, reason, arrived_ms, header, body"


class InboxRows(PairRows):
    """shared.core.ports.InboxStore."""

    def epoch_in(self, epoch: int) -> EpochIn | None:
        row = self._run(
            "SELECT recorded, closed, applied, held, quarantined, dropped, apart FROM epoch_in"
            " WHERE connector_id = ? AND epoch = ?",
            (self._id, epoch),
        ).fetchone()
        return self._epoch_in(epoch, row) if row else None

    def epochs_in(self) -> list[EpochIn]:
        rows = self._run(
            "SELECT epoch, recorded, closed, applied, held, quarantined, dropped, apart FROM epoch_in WHERE connector_id = ?"
            " ORDER BY updated_ms, epoch",
            (self._id,),
        )
        return [self._epoch_in(row[0], row[1:]) for row in rows]

    def _epoch_in(self, epoch: int, row: Sequence[Any]) -> EpochIn:
        """Return an epoch; of one that the disk damaged nothing is known, as after a restore: its origin makes it again."""
        try:
            return EpochIn(epoch, *epoch_rest(row))
        except UNREADABLE as error:
            _log.error("what arrived of an epoch cannot be read: %s", error, extra={"connector": self._id})
            return EpochIn(epoch)

    def save_epoch_in(self, epoch: EpochIn, now_ms: int) -> None:
        self._run(
            "INSERT OR REPLACE INTO epoch_in VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                epoch.epoch,
                pack(epoch.recorded.flat()),
                pack(epoch.closed.flat()),
                epoch.applied,
                epoch.held,
                epoch.quarantined,
                msgspec.json.encode(epoch.dropped).decode(),
                now_ms,
                pack(epoch.apart) if epoch.apart else b"",
            ),
        )

    def apply(self, columns: Columns, body: bytes | None, now_ms: int) -> list[bool]:
        return self._catalogue.apply(self._connection, self._id, columns, body, now_ms)

    def generation(self, device: str) -> int:
        """Return the generation of a device that is here, 0 where it is not."""
        row = self._run("SELECT generation FROM device WHERE connector_id = ? AND identity = ?", (self._id, device))
        found = row.fetchone()
        return int(found[0]) if found else 0

    def hold(self, epoch: int, series: Columns, body: bytes, now_ms: int) -> None:
        device, resource, _ = series.series[0]
        self._run(
            "INSERT INTO held (connector_id, epoch, device, resource, count, arrived_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._id, epoch, device, resource, len(series), now_ms, body),
        )

    def held_for(self, device: str | None, resource: str | None, after_row: int, limit: int) -> list[HeldChunk]:
        named = {"device": device, "resource": resource}
        wanted = {column: name for column, name in named.items() if name is not None}
        rows = self._run(
            "SELECT row, epoch, count, arrived_ms, body, resource FROM held WHERE connector_id = ? AND row > ?"  # noqa: S608
            f"{''.join(f' AND {column} = ?' for column in wanted)} ORDER BY row LIMIT ?",
            (self._id, after_row, *wanted.values(), limit),
        )
        return [HeldChunk(*row) for row in rows]

    def expired_held(self, before_ms: int, limit: int) -> list[HeldChunk]:
        rows = self._run(
            "SELECT row, epoch, count, arrived_ms, body, resource FROM held WHERE connector_id = ? AND arrived_ms <= ?"
            " ORDER BY arrived_ms, row LIMIT ?",
            (self._id, before_ms, limit),
        )
        return [HeldChunk(*row) for row in rows]

    def oldest_held_ms(self) -> int | None:
        row = self._run("SELECT MIN(arrived_ms) FROM held WHERE connector_id = ?", (self._id,)).fetchone()
        return None if row[0] is None else int(row[0])

    def move_held(self, by_ms: int, now_ms: int) -> None:
        self._move_stamps("held", "arrived_ms", by_ms, now_ms)

    def remove_held(self, chunk: HeldChunk) -> None:
        self._run("DELETE FROM held WHERE row = ?", (chunk.row,))

    def note_unreadable_held(self, chunk: HeldChunk) -> None:
        count = chunk.count
        _log.error("%d readings that are held cannot be read and stay behind", count, extra={"connector": self._id})

    def count_applied(self, counts: Mapping[str, int]) -> None:
        self._connection.executemany(
            "INSERT INTO waiting (connector_id, resource, applied_count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET applied_count = applied_count + excluded.applied_count",
            [(self._id, resource, count) for resource, count in counts.items() if resource and count],
        )

    def quarantine(
        self, epoch: int, number: int, count: int, reason: str, header: bytes, body: bytes, now_ms: int
    ) -> None:
        self._run(
            "INSERT INTO quarantine (connector_id, kind, epoch, number, count, reason, arrived_ms, header, body)"
            " VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)",
            (self._id, epoch, number, count, reason, now_ms, header, body),
        )

    def quarantined(self, row: int) -> Quarantined | None:
        found = self._run(
            f"SELECT {_QUARANTINED} FROM quarantine WHERE connector_id = ? AND quarantine_id = ?",  # noqa: S608
            (self._id, row),
        ).fetchone()
        return Quarantined(*found) if found else None

    def quarantined_bytes(self) -> dict[int, int]:
        """Return by kind what is kept aside, with what its rows take."""
        rows = self._run(
            "SELECT kind, SUM(LENGTH(header) + LENGTH(body)), COUNT(*) FROM quarantine WHERE connector_id = ? GROUP BY kind",
            (self._id,),
        )
        return {row[0]: row[1] + row[2] * QUARANTINE_ROW_BYTES for row in rows}

    def quarantined_after(self, row: int, limit: int) -> list[Quarantined]:
        rows = self._run(
            f"SELECT {_QUARANTINED} FROM quarantine WHERE connector_id = ? AND quarantine_id > ?"  # noqa: S608
            " ORDER BY quarantine_id LIMIT ?",
            (self._id, row, limit),
        )
        return [Quarantined(*found) for found in rows]

    def tried_quarantined(self, row: int, reason: str, now_ms: int) -> None:
        self._run("UPDATE quarantine SET reason = ?, tried_ms = ? WHERE quarantine_id = ?", (reason, now_ms, row))

    def remove_quarantined(self, row: int) -> None:
        self._run("DELETE FROM quarantine WHERE quarantine_id = ?", (row,))
