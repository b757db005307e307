"""Frames of a pair on their way to its engine: those that come before their unit of work begins share it."""

from __future__ import annotations

import threading
from typing import Final, TypeAlias

from connector.streams import Streams
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.messages import AskStatement, Credit, Held, Sealed, Statement

ForEngine: TypeAlias = Sealed | Statement | AskStatement | Held | Credit
# Frames taken into one unit of work: enough to share a commit, few enough that live data slips between.
FRAMES_AT_ONCE_MAX: Final = 64


class Arriving:
    """Frames that share a unit of work."""

    def __init__(self, *frames: ForEngine) -> None:
        self._frames = list(frames)
        self._lock = threading.Lock()
        self.is_under_way = False

    def add(self, frame: ForEngine) -> bool:
        """Take a frame in; False where it comes too late, or there are enough."""
        with self._lock:
            if self.is_under_way or len(self._frames) >= FRAMES_AT_ONCE_MAX:
                return False
            self._frames.append(frame)
            return True

    def take(self, engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
        """Take them all, on the writer's thread."""
        self.end()
        effects: list[Effect] = []
        for frame in self._frames:
            effects += engine.on_frame(store, frame, now_ms)
        return None, effects

    def end(self) -> None:
        """From here on any frame comes too late: they are being taken, or never will be."""
        with self._lock:
            self.is_under_way = True
