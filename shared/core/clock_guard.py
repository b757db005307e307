"""Doubt about the wall clock (G5): while in doubt nothing expires, so that a wrong clock can never lose data."""

from __future__ import annotations

from dataclasses import dataclass

from shared.limits import CLOCK_JUMP_MS_MAX


@dataclass(slots=True)
class ClockGuard:
    """Compares the wall clock with the monotonic one, with the last run, and with what the hub and the peer say.

    `hub_off_ms` and `peer_off_ms` are by how much the other's clock is ahead of ours, followed as ours is set or drifts.
    `jumped_ms` is by how much it moved, or seems to have moved since the last run, without anybody agreeing.
    """

    _offset_ms: int | None = None
    jumped_ms: int = 0
    hub_off_ms: int = 0
    peer_off_ms: int = 0
    was_away: bool = False
    """Whether the doubt is about the time between two runs: the clock may be right, and this machine was off."""
    _hub_heard: bool = False
    _peer_heard: bool = False

    def on_start(self, wall_ms: int, seen_ms: int, *, away_ms_max: int = CLOCK_JUMP_MS_MAX) -> None:
        """A run begins; `seen_ms` is the last time that an earlier run believed.

        A machine that was off for long cannot be told from a clock that jumped, until somebody else says the time.
        """
        if seen_ms - wall_ms > CLOCK_JUMP_MS_MAX or wall_ms - seen_ms > away_ms_max:
            self.jumped_ms = wall_ms - seen_ms
            self.was_away = True

    def on_tick(self, wall_ms: int, monotonic_ms: int) -> None:
        """Take a look at both clocks; a jump of more than an hour raises doubt until others agree with the new time."""
        offset_ms = wall_ms - monotonic_ms
        moved_ms = 0 if self._offset_ms is None else offset_ms - self._offset_ms
        self._offset_ms = offset_ms
        if abs(moved_ms) > CLOCK_JUMP_MS_MAX:
            self.jumped_ms += moved_ms
            if abs(self.jumped_ms) <= CLOCK_JUMP_MS_MAX:
                self._explained()  # it jumped back
        if self._hub_heard:
            self.hub_off_ms -= moved_ms
        if self._peer_heard:
            self.peer_off_ms -= moved_ms
        if abs(moved_ms) > CLOCK_JUMP_MS_MAX:
            self._explain_by_what_was_heard()

    def on_hub_time(self, hub_ms: int, wall_ms: int, monotonic_ms: int) -> None:
        """The hub said what time it is; agreement explains a jump.

        Looks at both clocks first: a jump that is noticed later would be taken off what was heard after it once more.
        """
        self.on_tick(wall_ms, monotonic_ms)
        self.hub_off_ms = hub_ms - wall_ms
        self._hub_heard = True
        self._explain_by_what_was_heard()

    def on_peer_time(self, peer_ms: int, wall_ms: int, monotonic_ms: int) -> None:
        """The other side said what time it is; as for the hub's."""
        self.on_tick(wall_ms, monotonic_ms)
        self.peer_off_ms = peer_ms - wall_ms
        self._peer_heard = True
        self._explain_by_what_was_heard()

    def on_confirmed(self) -> None:
        """A person says that the clock is right: a jump needs no other word. Hub and peer may still disagree."""
        self._explained()

    def _explain_by_what_was_heard(self) -> None:
        agreed = (self._hub_heard and abs(self.hub_off_ms) <= CLOCK_JUMP_MS_MAX) or (
            self._peer_heard and abs(self.peer_off_ms) <= CLOCK_JUMP_MS_MAX
        )
        if agreed:
            self._explained()

    def _explained(self) -> None:
        self.jumped_ms = 0
        self.was_away = False

    @property
    def in_doubt(self) -> bool:
        """Whether expiry must wait."""
        return bool(self.jumped_ms) or max(abs(self.hub_off_ms), abs(self.peer_off_ms)) > CLOCK_JUMP_MS_MAX
