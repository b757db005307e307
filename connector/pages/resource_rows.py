"""A resource in words: its figures, what it allows, and how it differs from the other side's (G14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.pages.situation import Situation
from connector.resources import ResourceRow
from shared.core.entries import Definition
from web import contexts as c


def shown_row(seen: Situation, row: ResourceRow, theirs: Definition | None, now_ms: int) -> c.ResourceRow:
    """Return a resource as pages show it."""
    is_target = seen.role is c.Role.TARGET
    lag_ms = row.lag_ms
    if is_target:
        lag_ms = None if row.last_ms is None else max(0, now_ms - row.last_ms)
    return c.ResourceRow(
        alias=row.alias,
        format=row.format,
        unit=row.unit,
        allowed_text=allowed_text(row.allowed),
        is_settable=row.settable,
        # At a target, the switch that counts is the source's.
        is_synced=bool(theirs and theirs.remote_sync) if is_target else row.remote_sync,
        last_value=row.last_value,
        last_value_ms=row.last_ms,
        last_value_device=row.last_device,
        per_minute=row.per_minute if row.last_ms is not None else None,
        queued_count=row.waiting + row.held,
        mismatch=_mismatch(seen, row, theirs),
        exists_here=row.match != "missing_here",
        lag_ms=lag_ms,
        device_count=row.devices,
    )


def _mismatch(seen: Situation, row: ResourceRow, theirs: Definition | None) -> c.Mismatch | None:
    if seen.pair is None or not seen.is_paired:
        return None
    here, peer = seen.role, seen.pair.peer_site_name
    if row.match == "missing_here":
        return c.Mismatch(f"{peer} sends it, and it does not exist here", c.MismatchFix.CREATE_HERE)
    if row.match == "missing_there" and row.remote_sync and here is c.Role.SOURCE:
        return c.Mismatch(f"missing at {peer}; its readings wait until it exists there", c.MismatchFix.CREATE_THERE)
    if row.match == "different" and theirs is not None:
        return c.Mismatch("; ".join(_difference(name, row, theirs, peer) for name in row.different))
    return None


def _difference(name: str, row: ResourceRow, theirs: Definition, peer: str) -> str:
    mine = "none" if (here := getattr(row, name)) in ("", None) else here
    other = getattr(theirs, name) or "none"
    if name == "allowed":
        return f"allowed values differ from {peer}'s"
    return f"{name} differs: {mine} here, {other} at {peer}"


def allowed_text(allowed: Mapping[str, Any] | None) -> str:
    """Say in words what a resource allows; empty where anything goes."""
    if not allowed:
        return ""
    if "any" in allowed:
        return "one of " + ", ".join(plain(value) for value in allowed["any"])
    low, high = allowed.get("low"), allowed.get("high")
    if low is None:
        return f"at most {plain(high)}"
    return f"at least {plain(low)}" if high is None else f"{plain(low)} to {plain(high)}"


def plain(value: object) -> str:
    """Write a value as people type it."""
    return (
        f"{value:.10g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )
