"""Logging of a daemon: lines for people, or one JSON object a line; never a secret in either.

A line about a connector, a pair or a site names it in fields: `extra={"connector": ..., "pair": ...}`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from shared.limits import LOG_LINE_CHARS_MAX, LOG_LINES_KEPT_MAX

FIELDS: Final = ("site", "connector", "pair")
# The last net under code that logs no secrets: tokens of ours, bearer tokens, passwords in addresses. Exceptions and
# libraries may quote what they were given.
_SECRETS: Final = (
    (re.compile(r"\b(ph[a-z]_)[A-Za-z0-9_-]{8,}"), r"\1..."),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"']+"), r"\1..."),
    (re.compile(r"(?<=://)[^/@\s]+@"), "...@"),
)


def without_secrets(text: str) -> str:
    """Return a text with everything that looks like a token or a password taken out."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def in_one_line(text: str) -> str:
    """Return a text with everything that is no printable character written as a program writes it: `\\n`, `\\ud800`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _lines(text: str) -> list[str]:
    return [in_one_line(line) for line in text.split("\n")]


def _ids(record: logging.LogRecord) -> dict[str, str]:
    return {name: in_one_line(str(getattr(record, name))) for name in FIELDS if hasattr(record, name)}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": without_secrets(in_one_line(record.getMessage())),
            **_ids(record),
        }
        if record.exc_info:
            line["exception"] = without_secrets("\n".join(_lines(self.formatException(record.exc_info))))
        return msgspec.json.encode(line).decode()


class _Text(logging.Formatter):
    """What others wrote may stand in a message, and must not look like a line of ours: only a traceback has more lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        record.message = in_one_line(record.message)
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        return f"{super().formatMessage(record)} [{ids}]" if ids else super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"  {line}" for line in _lines(super().formatException(ei)))

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class _Kept(logging.Handler):
    """Keeps the last lines in memory, for a bundle of diagnostics."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LOG_LINES_KEPT_MAX)
        self.setFormatter(_Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines.append(self.format(record)[:LOG_LINE_CHARS_MAX])
        except Exception:  # noqa: BLE001  # as every handler of the library does
            self.handleError(record)


_kept = _Kept()


def last_lines() -> list[str]:
    """Return the last log lines of this process, oldest first; none where logging was not set up."""
    return list(_kept.lines)


def set_up_logging(level: str, format_: Literal["text", "json"]) -> None:
    """Send log lines of ours at `level` and louder ones of libraries to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(_JsonLines() if format_ == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler, _kept], force=True)
    for noisy in ("httpx2", "httpcore2", "websockets", "uvicorn.access", "uvicorn.error", "aiosqlite", "sse_starlette"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
