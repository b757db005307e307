"""From when to when readings may be missing that an origin accepted before it was put back to an older state (G1, G2)."""

from __future__ import annotations

from shared.core.entries import CAUSE_ORIGIN_RESTORED, GapNotice
from shared.core.ports import Beginning, OutboxStore


class Restores:
    """What a file copy, put back, has forgotten was accepted after the newest time in it.

    So that is put down by the first start on it, before anything else is accepted, and stays until both sides are
    compared: neither readings accepted meanwhile nor further starts move it. Where nothing shows a restore (nothing was
    delivered since the copy), nobody can tell.
    """

    def __init__(self) -> None:
        self._is_named = False  # since the last comparison
        self._gap_id = ""  # of that notice; what is undone is given again under the same
        self._is_compared = False  # on this start

    def load(self, store: OutboxStore) -> None:
        """Note what the store knows of at a start; also to be called after a unit of work that was undone."""
        self._is_named = False
        found = store.beginning()
        if found is None or (found.is_compared and not self._is_compared):
            store.save_beginning(Beginning(store.known_times_ms()))
        else:
            self._is_compared = found.is_compared

    def on_compared(self, store: OutboxStore) -> None:
        """Both sides know by now what the other has: what is missing from here on is of a later restore."""
        self._is_named, self._gap_id = False, ""
        found = store.beginning()
        if not self._is_compared and found is not None:
            store.save_beginning(Beginning(found.known_ms, is_compared=True))
        self._is_compared = True

    def on_backup(self, store: OutboxStore, *, backup_ms: int, restored_ms: int, now_ms: int) -> GapNotice | None:
        """This state is of a backup made at `backup_ms`; return the notice of it, None where it is given already."""
        self._is_named, self._gap_id = True, f"restored-{restored_ms:x}"
        store.save_beginning(Beginning([restored_ms]))
        notice = _notice(self._gap_id, backup_ms, restored_ms, now_ms)
        return notice if store.add_gap(notice, ours=True) else None

    def on_found(self, store: OutboxStore, gap_id: str, *, peer_ms: int, now_ms: int) -> GapNotice | None:
        """The destination, whose clock says `peer_ms`, has more of us than we know; return the notice of it, if it is new.

        A machine that was put back may for a while show the time at which it was copied: the later clock counts.
        """
        if self._is_named:
            return None
        self._is_named, self._gap_id = True, self._gap_id or gap_id
        found = store.beginning()
        known_ms = store.known_times_ms() if found is None else found.known_ms
        last_ms = max(now_ms, peer_ms)
        # What lies ahead of both clocks was written by one that has been set since.
        first_ms = max((each for each in known_ms if each < last_ms), default=last_ms)
        notice = _notice(self._gap_id, first_ms, last_ms, now_ms)
        return notice if store.add_gap(notice, ours=True) else None


def _notice(gap_id: str, first_ms: int, last_ms: int, now_ms: int) -> GapNotice:
    """Return that an unknown number is missing."""
    return GapNotice(gap_id, CAUSE_ORIGIN_RESTORED, None, min(first_ms, last_ms), last_ms, [], [], now_ms)
