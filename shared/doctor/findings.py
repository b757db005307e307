"""What a check found, and how it is said."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

_MARKS: Final = {"ok": "ok     ", "warning": "WARNING", "failed": "FAILED "}


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: what was seen, and what to do where it is not well."""

    check: str
    outcome: Outcome
    what: str
    to_do: str = ""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, Outcome.OK, what)


def warning(check: str, what: str, to_do: str) -> Finding:
    """It works, and may stop to."""
    return Finding(check, Outcome.WARNING, what, to_do)


def failed(check: str, what: str, to_do: str) -> Finding:
    """It does not work."""
    return Finding(check, Outcome.FAILED, what, to_do)


def any_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether something does not work."""
    return any(finding.outcome is Outcome.FAILED for finding in findings)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return lines for people."""
    width = max((len(finding.check) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.outcome]}  {finding.check:{width}}  {finding.what}")
        if finding.to_do:
            lines.append(f"{'':9}{'':{width}}  -> {finding.to_do}")
    return lines
