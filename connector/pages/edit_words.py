"""Edits in the words of people: fields, values, and how far each has come."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from connector.connectors import Pair
from connector.edit_queries import ChangeRow, ConflictRow
from connector.identity import Identity
from shared.core.fields import (
    CONFIGURATION,
    DESCRIPTION,
    EXISTS,
    LOCKED,
    NAME,
    FieldClass,
    Grant,
    field_class,
    generation_of,
    grant_subject,
    publish_as_pattern,
    set_alias,
    tag_pair,
)
from web import contexts as c
from web import formats

_VALUE_CHARS_MAX: Final = 120
_NOTHING: Final = "–"
_STATES: Final = {
    "pending": c.SyncState.PENDING,
    "applied": c.SyncState.APPLIED,
    "refused": c.SyncState.REFUSED,
    "conflict": c.SyncState.CONFLICT,
}
_POLICIES: Final = {
    "newer": "the newer one stands",
    "source": "the source's stands",
    "target": "the target's stands",
}
# Only the code of a refusal travels with an edit; the field it is about says the rest.
_REFUSED: Final = {
    "edit_not_allowed": "The other site does not let this one edit {what}; its operator decides that on Settings, Sharing.",
    "too_many": "The device has as many {what} as one can have.",
    "unknown_resource": "There is no resource {resource} at the source.",
    "not_settable": "{resource} is not settable at the source.",
    "wrong_format": "The value has not the format that {resource} has at the source.",
    "not_allowed": "The value is outside what {resource} allows at the source.",
}
_CLASSES: Final = {
    FieldClass.DEVICES: "devices",
    FieldClass.TAGS: "tags",
    FieldClass.GRANTS: "permissions",
    FieldClass.CONFIGURATION: "configuration",
    FieldClass.VALUES: "values",
    FieldClass.POLICIES: "what decides conflicts",
}


def field_words(field: str) -> str:
    """Return what a field is, as in `tag floor=2`."""
    known = {
        EXISTS: "device",
        NAME: "name",
        DESCRIPTION: "description",
        LOCKED: "lock",
        CONFIGURATION: "configuration",
    }
    if field in known:
        return known[field]
    if (pair := tag_pair(field)) is not None:
        return f"tag {pair[0]}={pair[1]}"
    if (subject := grant_subject(field)) is not None:
        return f"permission of {subject.kind} {subject.name}"
    if (pattern := publish_as_pattern(field)) is not None:
        return f"may report for {pattern}"
    if (alias := set_alias(field)) is not None:
        return f"{alias}, value set"
    return field.replace("policy/", "conflict policy for ")


def value_words(field: str, value: str | None) -> str:
    """Return a value of a field, short enough for a table."""
    is_set = tag_pair(field) is not None or publish_as_pattern(field) is not None
    if value is None:
        is_there_or_not = is_set or field == EXISTS or grant_subject(field) is not None
        return "not there" if is_there_or_not else "not locked" if field == LOCKED else _NOTHING
    try:
        plain: Any = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value[:_VALUE_CHARS_MAX]
    if field == EXISTS:
        return "there" if generation_of(value) > 0 else "deleted"
    if field == LOCKED:
        return "locked" if plain else "not locked"
    if is_set:
        return "there"
    if grant_subject(field) is not None:
        return msgspec.json.decode(value, type=Grant).level
    if isinstance(plain, bool | int | float):
        return formats.value(plain)
    text = plain if isinstance(plain, str) else value
    return text if len(text) <= _VALUE_CHARS_MAX else text[:_VALUE_CHARS_MAX] + "…"


def reason_words(state: str, reason: str, field: str) -> str:
    """Return why an edit of a field was refused, or what decided a conflict."""
    if state == "conflict":
        return _POLICIES.get(reason, "")
    if not reason:
        return ""
    if reason not in _REFUSED:
        return f"The other side refused it ({reason})."
    return _REFUSED[reason].format(what=_CLASSES[field_class(field)], resource=set_alias(field) or "the resource")


def site_words(site_id: str, own: Identity, pair: Pair | None) -> str:
    """Return the name of a site that edits come from."""
    if site_id == own.site_id:
        return own.site_name
    if pair is not None and site_id == pair.peer_site_id:
        return pair.peer_site_name
    return f"site {site_id[:8]}"


def state_of(state: str | None, *, is_paired: bool) -> c.SyncState:
    """Return how far the last edit of a field has come; None: nothing is open about it."""
    if not is_paired:
        return c.SyncState.LOCAL
    return _STATES.get(state or "", c.SyncState.APPLIED)


def change(row: ChangeRow, own: Identity, pair: Pair | None, *, is_paired: bool) -> c.ChangeRow:
    """Return a change as the history shows it."""
    return c.ChangeRow(
        at_ms=row.at_ms,
        identity=row.identity or "",
        what=field_words(row.field),
        before=value_words(row.field, row.before),
        after=value_words(row.field, row.after),
        who=row.who,
        site_name=site_words(row.site_id, own, pair),
        sync=state_of(row.state, is_paired=is_paired),
        reason=reason_words(row.state, row.reason, row.field),
    )


def conflict(row: ConflictRow, own: Identity, pair: Pair | None) -> c.ConflictRow:
    """Return a conflict with both of its values."""
    kept_at, lost_at = (site_words(site, own, pair) for site in (row.kept_site_id, row.lost_site_id))
    return c.ConflictRow(
        conflict_id=row.conflict_id,
        identity=row.identity or "",
        what=field_words(row.field),
        kept=value_words(row.field, row.kept),
        kept_by=f"{row.kept_who or 'somebody'} at {kept_at}",
        lost=value_words(row.field, row.lost),
        lost_by=f"{row.lost_who or 'somebody'} at {lost_at}",
        policy=_POLICIES.get(row.policy, ""),
        found_ms=row.found_ms,
    )
