"""The account of a stream in SQLite, in all and by resource (G1): see the tables `stream`, `waiting`, `dropped`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from connector.pair_rows import UNREADABLE, PairRows, epoch_rest, pack, read_counts, unpack
from shared.core.account import UNKNOWN_RESOURCE, add_counts
from shared.core.entries import CAUSE_DISCARDED
from shared.core.intervals import IntervalSet
from shared.core.ledger import Ledger
from shared.core.ports import EpochOut, Segment

_COUNTS = dict[str, int]
_log = logging.getLogger(__name__)
# Numbers given since the row of an epoch was written are those of segments that wait.
_LAST_NUMBER = (
    "MAX(last_number, COALESCE((SELECT MAX(number) FROM segment"
    " WHERE segment.connector_id = epoch_out.connector_id AND segment.epoch = epoch_out.epoch), 0))"
)


@dataclass(frozen=True, slots=True)
class StatedLedger:
    """What the source stated, when, and how many were applied here at the cut it speaks of (None: not known)."""

    ledger: Ledger
    stated_ms: int
    applied_here: int | None


class AccountRows(PairRows):
    """The part of shared.core.ports.OutboxStore that counts, and what the other side stated of its counts."""

    def _count(self, **deltas: int) -> None:
        changes = ", ".join(f"{name} = {name} + ?" for name in deltas)
        sql = f"UPDATE stream SET {changes} WHERE connector_id = ?"  # noqa: S608  # names of ours
        done = self._run(sql, (*deltas.values(), self._id))
        if done.rowcount == 0:
            self._run("INSERT INTO stream (connector_id) VALUES (?)", (self._id,))
            self._count(**deltas)

    def count_accepted(self, counts: Mapping[str, int]) -> None:
        self._count(accepted=sum(counts.values()))
        self._connection.executemany(
            "INSERT INTO waiting (connector_id, resource, accepted_count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET accepted_count = accepted_count + excluded.accepted_count",
            [(self._id, resource, count) for resource, count in counts.items()],
        )

    def count_adopted(self, count: int) -> None:
        self._count(accepted=count, adopted=count)

    def count_unrecorded(self, counts: Mapping[str, int]) -> None:
        self._connection.executemany(
            "UPDATE waiting SET recorded_count = recorded_count - ? WHERE connector_id = ? AND resource = ?",
            [(count, self._id, resource) for resource, count in counts.items()],
        )

    def set_unknown(self) -> None:
        self._count(accepted=0)
        self._run("UPDATE stream SET unknown = 1 WHERE connector_id = ?", (self._id,))

    def count_dropped(self, cause: str, count: int, counts: Mapping[str, int]) -> None:
        self._count_dropped(cause, count)
        self._connection.executemany(
            "INSERT INTO resource_dropped (connector_id, resource, cause, count) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(self._id, resource, cause, each) for resource, each in counts.items() if each],
        )

    def _count_dropped(self, cause: str, count: int) -> None:
        """Count in all; by resource, the triggers of table `segment` do."""
        self._run(
            "INSERT INTO dropped (connector_id, cause, count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (self._id, cause, count),
        )

    def waiting_bytes(self) -> int:
        row = self._run("SELECT tail_bytes + outbox_bytes FROM stream WHERE connector_id = ?", (self._id,)).fetchone()
        return int(row[0]) if row else 0

    def kept_bytes(self) -> int:
        row = self._run("SELECT kept_bytes FROM stream WHERE connector_id = ?", (self._id,)).fetchone()
        return int(row[0]) if row else 0

    def own_overflows(self) -> dict[str, str]:
        return dict(
            self._run("SELECT alias, overflow FROM resource WHERE connector_id = ? AND overflow <> ''", (self._id,))
        )

    def ledger(self) -> Ledger:
        return self._ledger(self.epochs_out())

    def _ledger(self, epochs: Mapping[int, EpochOut]) -> Ledger:
        row = self._run(
            "SELECT accepted, tail_count, outbox_count, adopted, unknown FROM stream WHERE connector_id = ?",
            (self._id,),
        ).fetchone()
        accepted, tail, outbox, adopted, unknown = row or (0, 0, 0, 0, 0)
        dropped = dict(self._run("SELECT cause, count FROM dropped WHERE connector_id = ? AND count <> 0", (self._id,)))
        applied = held = quarantined = 0
        for epoch in epochs.values():
            applied += epoch.applied
            held += epoch.held
            quarantined += epoch.quarantined
            add_counts(dropped, epoch.dropped)
        return Ledger(accepted, applied, tail, outbox, held, quarantined, dropped, adopted, bool(unknown))

    # --- by resource --------------------------------------------------------------------------------------------------

    def resource_ledgers(self) -> dict[str, Ledger]:
        """Return the account of each resource by alias; what none can be given for stands under no name."""
        epochs = self.epochs_out()
        held, quarantined = self._held(epochs), self._aside(epochs, discarded=False)
        dropped = self._dropped(epochs)
        rows = self._run(
            "SELECT resource, accepted_count, recorded_count, tail_count, outbox_count FROM waiting"
            " WHERE connector_id = ? AND (accepted_count OR recorded_count OR tail_count OR outbox_count)"
            " ORDER BY resource",
            (self._id,),
        )
        found = {}
        for resource, accepted, recorded, tail, outbox in rows:
            ours, theirs = dropped.get(resource, ({}, {}))
            waiting, set_aside = held.get(resource, 0), quarantined.get(resource, 0)
            applied = recorded - waiting - set_aside - sum(theirs.values())
            given_up = dict(ours)
            add_counts(given_up, theirs)
            found[resource] = Ledger(accepted, applied, tail, outbox, waiting, set_aside, given_up)
        rest = without(self._ledger(epochs), found.values())
        if rest != Ledger():
            found[UNKNOWN_RESOURCE] = rest
        return found

    def _held(self, epochs: Mapping[int, EpochOut]) -> _COUNTS:
        held: _COUNTS = {}
        for epoch in epochs.values():
            add_counts(held, epoch.apart.held)
        return held

    def _dropped(self, epochs: Mapping[int, EpochOut]) -> dict[str, tuple[_COUNTS, _COUNTS]]:
        """Return by resource what was given up here, and there, by cause."""
        found: dict[str, tuple[_COUNTS, _COUNTS]] = {}
        for resource, cause, count in self._run(
            "SELECT resource, cause, count FROM resource_dropped WHERE connector_id = ? AND count <> 0", (self._id,)
        ):
            found.setdefault(resource, ({}, {}))[0][cause] = count
        for epoch in epochs.values():
            for cause, counts in epoch.apart.dropped.items():
                for resource, count in counts.items():
                    add_counts(found.setdefault(resource, ({}, {}))[1], {cause: count})
        for resource, count in self._aside(epochs, discarded=True).items():
            add_counts(found.setdefault(resource, ({}, {}))[1], {CAUSE_DISCARDED: count})
        return found

    def _aside(self, epochs: Mapping[int, EpochOut], *, discarded: bool) -> _COUNTS:
        """Return by resource what is in quarantine at the other side, or was discarded from it."""
        numbers = {
            epoch.epoch: IntervalSet(epoch.apart.discarded if discarded else epoch.apart.quarantined)
            for epoch in epochs.values()
            if epoch.apart
        }
        if not any(numbers.values()):
            return {}
        found: _COUNTS = {}
        for epoch, number, counts in self._run(
            "SELECT epoch, number, counts FROM set_aside WHERE connector_id = ?", (self._id,)
        ):
            if number in numbers.get(epoch, ()):
                add_counts(found, read_counts(counts))
        return found

    def set_aside(self, segment: Segment) -> None:
        self._run(
            "INSERT OR REPLACE INTO set_aside SELECT connector_id, epoch, number, counts FROM segment WHERE row = ?",
            (segment.row,),
        )

    def forget_aside(self, epoch: int, keep: IntervalSet) -> None:
        rows = self._run("SELECT number FROM set_aside WHERE connector_id = ? AND epoch = ?", (self._id, epoch))
        gone = [(self._id, epoch, number) for (number,) in rows if number not in keep]
        self._connection.executemany("DELETE FROM set_aside WHERE connector_id = ? AND epoch = ? AND number = ?", gone)

    # --- epochs -------------------------------------------------------------------------------------------------------

    def epochs_out(self) -> dict[int, EpochOut]:
        rows = self._run(
            f"SELECT epoch, {_LAST_NUMBER}, recorded, closed, applied, held, quarantined, dropped, apart FROM epoch_out"  # noqa: S608
            " WHERE connector_id = ?",
            (self._id,),
        )
        found: dict[int, EpochOut] = {}
        damaged: list[EpochOut] = []
        for epoch, last_number, *rest in rows:
            try:
                found[epoch] = EpochOut(epoch, last_number, *epoch_rest(rest))
            except UNREADABLE as error:
                damaged.append(EpochOut(epoch, last_number))
                _log.error("an epoch cannot be read: %s", error, extra={"connector": self._id})
        for each in damaged:  # the destination says the rest of it again; what no other accounts for was of this one
            known = self._ledger(found)
            elsewhere = known.queued + known.applied + known.quarantined + known.dropped_total
            found[each.epoch] = replace(each, applied=known.accepted - elsewhere)
        return found

    def epoch_out(self, epoch: int) -> EpochOut | None:
        row = self._run(
            f"SELECT {_LAST_NUMBER}, recorded, closed, applied, held, quarantined, dropped, apart FROM epoch_out"  # noqa: S608
            " WHERE connector_id = ? AND epoch = ?",
            (self._id, epoch),
        ).fetchone()
        if row is None:
            return None
        try:
            return EpochOut(epoch, row[0], *epoch_rest(row[1:]))
        except UNREADABLE:
            return self.epochs_out()[epoch]

    def save_epoch_out(self, epoch: EpochOut) -> None:
        self._run(
            "INSERT OR REPLACE INTO epoch_out VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._id,
                epoch.epoch,
                epoch.last_number,
                pack(epoch.recorded.flat()),
                pack(epoch.closed.flat()),
                epoch.applied,
                epoch.held,
                epoch.quarantined,
                msgspec.json.encode(epoch.dropped).decode(),
                pack(epoch.apart) if epoch.apart else b"",
            ),
        )

    # --- what the source stated ---------------------------------------------------------------------------------------

    def save_peer_resources(
        self, ledgers: Mapping[str, Ledger], stated_ms: int, since: Mapping[str, int] | None
    ) -> None:
        rows = [(self._id, resource, pack(ledger), stated_ms) for resource, ledger in ledgers.items()]
        self._connection.executemany(
            "INSERT OR REPLACE INTO peer_resource_ledger (connector_id, resource, ledger, stated_ms) VALUES (?, ?, ?, ?)",
            rows,
        )
        if since is not None:
            self._connection.executemany(
                "UPDATE peer_resource_ledger SET applied_here = ?3 + COALESCE((SELECT applied_count FROM waiting"
                " WHERE connector_id = ?1 AND resource = ?2), 0) WHERE connector_id = ?1 AND resource = ?2",
                [(self._id, resource, -since.get(resource, 0)) for resource in ledgers if resource],
            )

    def forget_peer_resources(self) -> None:
        self._run("DELETE FROM peer_resource_ledger WHERE connector_id = ?", (self._id,))

    def peer_resource_ledgers(self) -> dict[str, StatedLedger]:
        """Return what the source stated last of each resource."""
        rows = self._run(
            "SELECT resource, ledger, stated_ms, applied_here FROM peer_resource_ledger WHERE connector_id = ?",
            (self._id,),
        )
        return {row[0]: StatedLedger(unpack(row[1], type=Ledger), row[2], row[3]) for row in rows}

    def save_cut(self, since: Mapping[str, int] | None) -> None:
        passed = None if since is None else sum(since.values())
        self._run(
            "UPDATE peer_ledger SET applied_here = (SELECT SUM(applied) FROM epoch_in WHERE connector_id = ?1) - ?2"
            " WHERE connector_id = ?1",
            (self._id, passed),
        )


def without(total: Ledger, parts: Iterable[Ledger]) -> Ledger:
    """Return what of an account is in none of the parts."""
    given = list(parts)
    dropped = dict(total.dropped)
    for part in given:
        add_counts(dropped, part.dropped, -1)
    return Ledger(
        total.accepted - sum(part.accepted for part in given),
        total.applied - sum(part.applied for part in given),
        total.tail - sum(part.tail for part in given),
        total.outbox - sum(part.outbox for part in given),
        total.held - sum(part.held for part in given),
        total.quarantined - sum(part.quarantined for part in given),
        {cause: count for cause, count in dropped.items() if count},
        total.adopted,
        total.unknown,
    )
