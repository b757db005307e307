"""The documents of the project: where they are, their fenced blocks, and the parts that are drawn from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_DRAWN: Final = re.compile(
    r"(?P<open><!-- drawn: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<close><!-- /drawn -->)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: the words after its opening fence, and what it holds."""

    info: str
    text: str


def documents() -> list[Path]:
    """Return README and everything in docs/, in order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences(page: str) -> Iterator[Fence]:
    """Yield the fenced blocks of a page."""
    for match in _FENCE.finditer(page):
        yield Fence(match["info"].strip(), match["text"])


def prose(page: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page)


def drawn(page: str) -> dict[str, str]:
    """Return the parts of a page that are drawn from the code, by name."""
    return {match["name"]: match["body"] for match in _DRAWN.finditer(page)}


def redrawn(page: str, parts: dict[str, str]) -> str:
    """Return a page with its drawn parts as they ought to be; KeyError for one that nobody draws."""
    return _DRAWN.sub(lambda match: match["open"] + parts[match["name"]] + match["close"], page)
