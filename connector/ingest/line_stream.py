"""Lines of JSON read while they come in: a large body is columns by the time its last byte is there, and never a whole."""

from __future__ import annotations

from connector.lines import Lines
from connector.readings import Outcome, count_lines, parse_lines
from shared.errors import Refused
from shared.limits import INGEST_BODY_BYTES_MAX, INGEST_LINES_MAX, INGEST_SLICE_BYTES


class LineStream:
    """The body of one request. Feed it, then take what `end` returns; lines that are none are refused in `outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._ends_a_line = False
        self._read_bytes = 0
        self._parts: list[Lines] = []
        self._next_line = 1

    def feed(self, chunk: bytes) -> None:
        """Take what came; raises Refused('body_too_large', 'too_many_lines') as soon as that is sure."""
        self._read_bytes += len(chunk)
        if self._read_bytes > INGEST_BODY_BYTES_MAX:
            raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        self._ends_a_line = self._ends_a_line or b"\n" in chunk
        if self._waiting_bytes < INGEST_SLICE_BYTES or not self._ends_a_line:
            return  # a line that is longer than that waits for its end
        whole = b"".join(self._waiting)
        stop = whole.rfind(b"\n") + 1
        self._read(whole[:stop])
        self._waiting = [whole[stop:]]
        self._waiting_bytes = len(whole) - stop
        self._ends_a_line = False

    def end(self) -> Lines:
        """Return all lines, numbered from 1; raises Refused('too_many_lines')."""
        rest = b"".join(self._waiting)
        self._waiting = []
        if rest or not self._parts:
            self._read(rest)
        return Lines.joined(self._parts)

    def _read(self, piece: bytes) -> None:
        lines = parse_lines(piece, self._outcome, self._next_line)
        if isinstance(lines.numbers, range) and len(lines):
            self._next_line += len(lines)  # none of them blank, none refused: they are counted already
        elif piece:
            self._next_line += count_lines(piece)
        if self._next_line - 1 > INGEST_LINES_MAX:
            raise Refused("too_many_lines", most=INGEST_LINES_MAX)
        self._parts.append(lines)
