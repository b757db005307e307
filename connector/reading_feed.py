"""Readings as they become durable here, accepted or applied, for programs that listen (API, event streams).

The writer's thread notes columns while it stores them; the event loop passes them on once the commit they belong to is
done. Nothing is noted while nobody listens. A listener that does not keep up loses readings and is told how many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shared.limits import EVENT_QUEUE_READINGS_MAX

if TYPE_CHECKING:
    from shared.columns import Columns


@dataclass(frozen=True, slots=True)
class Heard:
    """New readings of one series: (ms since 1970, value) each, in the order in which they were stored."""

    device: str
    resource: str
    readings: list[tuple[int, Any]]


class Store(Protocol):
    """What the feed asks of a database: transactions ended so far, and which of them were undone as a whole."""

    @property
    def commits(self) -> int: ...
    @property
    def undone(self) -> Container[int]: ...


class _NoStore:
    commits = 0
    undone: Container[int] = ()


@dataclass(slots=True)
class _Note:
    commit: int
    connector_id: str
    columns: Columns
    kept: Sequence[bool]


class Listener:
    """One who listens to a connector: takes what came, and how many readings were lost on the way to him."""

    def __init__(self, wants: Callable[[str, str], bool], wake: Callable[[], None]) -> None:
        """`wants` tells by device and resource what is heard; `wake` is called when there is something to take."""
        self._wants = wants
        self._wake = wake
        self._heard: deque[Heard] = deque()
        self._waiting = 0
        self._missed = 0

    def offer(self, columns: Columns, kept: Sequence[bool]) -> None:
        """Keep what is wanted, as far as there is room."""
        start, is_more = 0, False
        for (device, resource, format_), length, keep in zip(
            columns.series, columns.lengths.tolist(), kept, strict=True
        ):
            stop = start + length
            if keep and self._wants(device, resource):
                if self._waiting + length > EVENT_QUEUE_READINGS_MAX:
                    self.miss(length)
                else:
                    values = columns.values[start:stop].tolist()
                    shown = [bool(value) for value in values] if format_ == "boolean" else values
                    readings = list(zip(columns.times_ms[start:stop].tolist(), shown, strict=True))
                    self._heard.append(Heard(device, resource, readings))
                    self._waiting += length
                    is_more = True
            start = stop
        if is_more:
            self._wake()

    def miss(self, count: int) -> None:
        """Count readings that this listener does not get."""
        self._missed += count
        self._wake()

    @property
    def waiting(self) -> int:
        """How many readings wait to be taken."""
        return self._waiting

    @property
    def missed(self) -> int:
        """How many were lost since `take_missed`."""
        return self._missed

    def take(self) -> Heard | None:
        """Return the next readings, None where there are none."""
        if not self._heard:
            return None
        heard = self._heard.popleft()
        self._waiting -= len(heard.readings)
        return heard

    def take_missed(self) -> int:
        """Return how many readings were lost since this was asked last."""
        missed, self._missed = self._missed, 0
        return missed


class ReadingFeed:
    """All listeners of a site."""

    def __init__(self) -> None:
        self._store: Store = _NoStore()
        self._listeners: dict[str, list[Listener]] = {}
        self._notes: deque[_Note] = deque()
        self._noted = 0

    def follow(self, store: Store) -> None:
        """Say which store the readings go to."""
        self._store = store

    # --- the writer's thread ----------------------------------------------------------------------------------------------

    def note(self, connector_id: str, columns: Columns, kept: Sequence[bool] | None = None) -> None:
        """Readings are being stored, of the series marked by `kept` (None: of all)."""
        if connector_id in self._listeners:
            marks = [True] * len(columns.series) if kept is None else kept
            self._notes.append(_Note(self._store.commits, connector_id, columns, marks))
            self._noted += 1

    @property
    def noted(self) -> int:
        """How often readings were noted: to be asked before a unit of work, for `discard`."""
        return self._noted

    def discard(self, noted: int) -> None:
        """A unit of work is undone, of the present transaction: forget what was noted since."""
        while self._noted > noted:
            self._notes.pop()  # the event loop takes from the other end, and nothing of the present transaction
            self._noted -= 1

    # --- the event loop ---------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Pass on what is durable by now."""
        while self._notes and self._notes[0].commit < self._store.commits:
            note = self._notes.popleft()
            if note.commit in self._store.undone:
                continue
            for listener in self._listeners.get(note.connector_id, ()):
                listener.offer(note.columns, note.kept)

    @contextmanager
    def listening(self, connector_id: str, listener: Listener) -> Iterator[None]:
        """Let somebody listen to a connector for the time of a block."""
        self._listeners.setdefault(connector_id, []).append(listener)
        try:
            yield
        finally:
            left = [other for other in self._listeners[connector_id] if other is not listener]
            if left:
                self._listeners[connector_id] = left
            else:
                del self._listeners[connector_id]
