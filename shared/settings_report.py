"""What `pairhub config show` says: every setting's value and where it came from, secrets left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.settings import Loaded, describe

REDACTED: Final = "(set, not shown)"
_USER_INFO: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it stands."""

    name: str
    value: object
    source: str


def report(kind: type[object], loaded: Loaded[Any], *, name: str) -> list[Row]:
    """Return every setting, in the order of its type."""
    rows = []
    for one in describe(kind, name=name):
        value = getattr(loaded.settings, one.name)
        rows.append(Row(one.name, REDACTED if one.secret and value else shown(value), loaded.sources[one.name]))
    return rows


def shown(value: object) -> object:
    """Make it fit for JSON, without names and passwords inside addresses."""
    if isinstance(value, Path):
        return str(value)
    return _USER_INFO.sub("(not shown)@", value) if isinstance(value, str) else value


def report_lines(rows: Sequence[Row]) -> list[str]:
    """Return lines for people."""
    texts = [(row.name, _text(row.value), row.source) for row in rows]
    widths = [max(len(text[column]) for text in texts) for column in (0, 1)]
    return [f"{name:{widths[0]}}  {value:{widths[1]}}  {source}" for name, value, source in texts]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "(empty)" if value in ("", None) else str(value)
