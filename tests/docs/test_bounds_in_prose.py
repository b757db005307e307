"""Numbers in prose that are bounds of shared/limits.py: `4 MiB<!-- = CREDIT_BYTES -->` is held to the code.

Write the mark right behind number and unit; readers do not see it. A number that has none is held to nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from shared import limits
from tests.docs.pages import ROOT, documents

_MARK: Final = re.compile(r"<!-- = (?P<name>\w+) -->")
_NUMBER: Final = re.compile(r"(?P<number>\d[\d,]*(?:\.\d+)?)(?: (?P<unit>[A-Za-z]+))?$")
_BYTES: Final = {"bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_MS: Final = {
    "ms": 1, "s": 1_000, "second": 1_000, "seconds": 1_000, "minutes": 60_000, "minute": 60_000,
    "hours": 3_600_000, "h": 3_600_000, "days": 86_400_000,
}  # fmt: skip
# These pages have bounds in their prose, so that a page without any mark has lost them.
_MARKED: Final = {"protocol.md", "performance.md", "operations.md"}


def said(text: str, name: str) -> float | None:
    """Return what a text that ends in a number and its unit says, in the unit of the bound; None: nothing like it."""
    found = _NUMBER.search(text)
    if found is None:
        return None
    number, unit = float(found["number"].replace(",", "")), found["unit"] or ""
    if re.search(r"_MS(_|$)", name):
        return number * _MS[unit] if unit in _MS else None
    if re.search(r"_S(_|$)", name):
        return number * _MS[unit] / 1_000 if unit in _MS else None
    if re.search(r"_BYTES(_|$)", name):
        return number * _BYTES[unit] if unit in _BYTES else None
    return None if unit in _BYTES or unit in _MS else number


def differing(page: str) -> list[str]:
    """Return the marks of a page that do not fit the code, with what the code says."""
    wrong = []
    for mark in _MARK.finditer(page):
        before, bound = page[: mark.start()], getattr(limits, mark["name"], None)
        if bound is None or said(before, mark["name"]) != bound:
            wrong.append(f"line {before.count(chr(10)) + 1}: '...{before[-30:]}' is not {mark['name']}, {bound}")
    return wrong


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_bounds_in_prose_are_those_of_the_code(path: Path) -> None:
    page = path.read_text()
    assert differing(page) == []
    assert _MARK.search(page) or path.name not in _MARKED


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("in steps of 512 KiB<!-- = CREDIT_GRANT_BYTES -->", True),
        ("in steps of 512 MiB<!-- = CREDIT_GRANT_BYTES -->", False),
        ("in steps of 524,288<!-- = CREDIT_GRANT_BYTES -->", False),
        ("for 10 s<!-- = RESYNC_AFTER_MS -->", True),
        ("for 10 minutes<!-- = RESYNC_AFTER_MS -->", False),
        ("80 ms<!-- = BACKFILL_REST_S_MAX -->", True),
        ("2,048 readings<!-- = BACKFILL_READINGS_AT_ONCE -->", True),
        ("2,049 readings<!-- = BACKFILL_READINGS_AT_ONCE -->", False),
        ("some<!-- = BACKFILL_READINGS_AT_ONCE -->", False),
        ("5<!-- = NO_SUCH_BOUND -->", False),
    ],
)
def test_a_mark_reads_number_and_unit_before_it(text: str, is_right: bool) -> None:
    assert (differing(text) == []) is is_right
