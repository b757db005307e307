"""What people type into the forms of resources, read: values that are allowed, days of retention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connector.pages.resource_rows import plain
from connector.pages.situation import Situation
from connector.resources import ResourceRow
from shared.core.overflow import DROP_OLDEST, REFUSE_NEW
from shared.errors import Refused
from shared.limits import DAY_MS, HISTORY_RETENTION_MS
from web import contexts as c

_FIELD_OF_WHAT: Final = {
    "Alias": "alias",
    "Format": "format",
    "Unit": "unit",
    "Allowed": "allowed",
    "Retention": "retention_days",
    "Overflow": "overflow",
}


def read_allowed(text: str, format_: str) -> dict[str, Any] | None:
    """Read `0..100`, `..100`, `0..` or `idle, running, fault`; empty is None. Raises Refused('invalid')."""
    text = text.strip()
    if not text:
        return None
    if format_ == "number" and ".." in text:
        low, _, high = text.partition("..")
        return {"low": _bound(low), "high": _bound(high)}
    values = [value.strip() for value in text.split(",") if value.strip()]
    if format_ == "number":
        return {"any": [_bound(value) for value in values]}
    if format_ == "boolean":
        return {"any": [_boolean(value) for value in values]}
    return {"any": values}


def _bound(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise Refused(
            "invalid", what="Allowed", why=f"“{text.strip()[:40]}” is not a number; a range is written 0..100"
        ) from None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Refused("invalid", what="Allowed", why="a boolean is true or false")
    return text.lower() == "true"


def field_error(refused: Refused) -> dict[str, str]:
    """Return what is wrong beside the field that it is about."""
    by_code = {"exists": "alias", "has_readings": "format"}
    return {by_code.get(refused.code) or _FIELD_OF_WHAT.get(str(refused.facts.get("what")), ""): str(refused)}


def read_retention(text: str) -> int:
    """Read a number of days, 0 for ever and empty for the default; raises Refused('invalid')."""
    text = text.strip()
    if not text:
        return HISTORY_RETENTION_MS
    try:
        return round(float(text) * DAY_MS)
    except (ValueError, OverflowError):
        raise Refused("invalid", what="Retention", why="it is a number of days, or 0 for ever") from None


def allowed_input(allowed: Mapping[str, Any] | None) -> str:
    """Write what a resource allows as `read_allowed` reads it."""
    if not allowed:
        return ""
    if "any" in allowed:
        return ", ".join(plain(value) for value in allowed["any"])
    return "..".join("" if bound is None else plain(bound) for bound in (allowed.get("low"), allowed.get("high")))


def edit_form(seen: Situation, row: ResourceRow, site_overflow: str = DROP_OLDEST) -> c.ResourceEdit:
    """Return the form of a definition as it stands."""
    return c.ResourceEdit(
        connector_id=seen.connector_id,
        alias=row.alias,
        format=row.format,
        unit=row.unit,
        allowed=allowed_input(row.allowed),
        is_settable=row.settable,
        retention_days=f"{row.retention_ms / DAY_MS:g}",
        overflow=row.overflow,
        site_overflow=overflow_words(site_overflow),
        can_change_format=row.last_ms is None,
        note=pair_note(seen),
    )


def overflow_words(overflow: str) -> str:
    """Say what gives way when what waits reaches its cap."""
    return {DROP_OLDEST: "drop the oldest readings", REFUSE_NEW: "refuse new readings"}.get(
        overflow, "as the site does"
    )


def pair_note(seen: Situation) -> str:
    """Say what a change means for the pair; empty without one."""
    if not seen.is_paired or seen.pair is None:
        return ""
    return (
        f"Format, unit and allowed values have to be equal at {seen.pair.peer_site_name} too:"
        " until they are, new readings wait. How long history is kept is this site's own affair."
    )
