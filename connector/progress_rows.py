"""What a pair keeps of how far its stream was: at the last start here (G2), and what waits at the other side (G9)."""

from __future__ import annotations

from connector.pair_rows import UNREADABLE, PairRows, pack, unpack
from shared.core.ports import Beginning

# And the connector's ID: facts of the table meta.
_BEGINNING = "beginning "
_PEER_OLDEST = "peer_oldest "
_KNOWN_TIMES = (
    "SELECT MAX(accepted_ms), MAX(applied_ms) FROM waiting WHERE connector_id = ?",
    "SELECT last_settled_ms FROM stream WHERE connector_id = ?",
    "SELECT created_ms, agreed_ms, paired_ms FROM connector LEFT JOIN pair USING (connector_id) WHERE connector_id = ?",
)


class ProgressRows(PairRows):
    """The part of shared.core.ports.OutboxStore that is about times of the stream as a whole."""

    def known_times_ms(self) -> list[int]:
        """Return the newest times of several kinds that anything of this stream was written down at."""
        newest: list[int | None] = []
        for query in _KNOWN_TIMES:
            newest += self._run(query, (self._id,)).fetchone() or ()
        return [each for each in newest if each is not None]

    def beginning(self) -> Beginning | None:
        row = self._run("SELECT value FROM meta WHERE name = ?", (_BEGINNING + self._id,)).fetchone()
        try:
            return unpack(row[0], type=Beginning) if row else None
        except UNREADABLE:
            return None

    def save_beginning(self, beginning: Beginning | None) -> None:
        if beginning is None:
            self._run("DELETE FROM meta WHERE name = ?", (_BEGINNING + self._id,))
        else:
            self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BEGINNING + self._id, pack(beginning)))

    def peer_oldest_ms(self) -> int | None:
        """Return since when, by our clock, the oldest waits that the other side has accepted, or holds."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (_PEER_OLDEST + self._id,)).fetchone()
        return None if row is None else int(row[0])

    def save_peer_oldest_ms(self, oldest_ms: int | None) -> None:
        if oldest_ms is None:
            self._run("DELETE FROM meta WHERE name = ?", (_PEER_OLDEST + self._id,))
        else:
            self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PEER_OLDEST + self._id, oldest_ms))
