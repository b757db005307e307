"""What a site lets its partner do, and what it says to each edit that arrives (G18, G19)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from shared.core.cells import Cell
from shared.core.entries import Definition
from shared.core.fields import (
    FieldClass,
    field_class,
    fields_address,
    grant_subject,
    publish_as_pattern,
    set_alias,
    why_wrong_address,
    why_wrong_value,
)
from shared.core.fields import is_text as _is_text
from shared.foreign import read_json
from shared.limits import (
    GRANTS_PER_DEVICE_MAX,
    NAME_CHARS_MAX,
    NUMBER_EXACT_MAX,
    PUBLISH_AS_PER_DEVICE_MAX,
    READING_VALUE_BYTES_MAX,
    SITE_ID_CHARS_MAX,
    TAGS_PER_DEVICE_MAX,
)
from shared.sealing import Side

_CODE_CHARS_MAX: Final = 64


class PeerRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector lets its partner do; local, never replicated (G18)."""

    edit_devices: bool = True
    edit_tags: bool = True
    edit_grants: bool = True
    edit_configuration: bool = True
    set_values: bool = True
    edit_resources: bool = True
    look_up: bool = True
    replay: bool = True

    def allows(self, kind: FieldClass) -> bool:
        """Whether fields of a class may be edited."""
        return {
            FieldClass.DEVICES: self.edit_devices,
            FieldClass.TAGS: self.edit_tags,
            FieldClass.GRANTS: self.edit_grants,
            FieldClass.CONFIGURATION: self.edit_configuration,
            FieldClass.POLICIES: self.edit_configuration,
            FieldClass.VALUES: self.set_values,
        }[kind]


def why_wrong(cell: Cell) -> str:
    """Say why a cell of the other side cannot be taken, empty where it can: what comes from there is foreign."""
    numbers = cell.source_count, cell.target_count, cell.stamp_ms
    if not 0 <= min(numbers) <= max(numbers) <= NUMBER_EXACT_MAX or len(cell.site_id) > SITE_ID_CHARS_MAX:
        return "its version is malformed"
    if cell.side not in (Side.SOURCE, Side.TARGET):
        return "its version is malformed"
    if not _is_text(cell.who, NAME_CHARS_MAX) or not _is_text(cell.refused, _CODE_CHARS_MAX):
        return "the name of its author is too long or not printable"
    return why_wrong_address(cell.object, cell.field) or why_wrong_value(cell.field, cell.value)


def set_value_refusal(definition: Definition | None, value: str) -> str:
    """Return the code with which the origin of a resource refuses a value to be set (JSON), empty where it may be (G19)."""
    if definition is None:
        return "unknown_resource"
    if not definition.settable:
        return "not_settable"
    found: Any = read_json(value)
    if not _has_format(definition.format, found):
        return "wrong_format"
    return "" if _is_allowed(definition, found) else "not_allowed"


def _has_format(format_: str, value: Any) -> bool:
    if format_ == "boolean":
        return isinstance(value, bool)
    if format_ == "string":
        return isinstance(value, str) and len(value.encode(errors="replace")) <= READING_VALUE_BYTES_MAX
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= NUMBER_EXACT_MAX


def _is_allowed(definition: Definition, value: Any) -> bool:
    if definition.allowed is None:
        return True
    allowed = read_json(definition.allowed, dict[str, Any])
    low, high, listed = allowed.get("low"), allowed.get("high"), allowed.get("any")
    return (low is None or value >= low) and (high is None or value <= high) and (listed is None or value in listed)


def most_of(field: str) -> tuple[int, str] | None:
    """Return (how many, of what) a device may have of a kind of field; None where it is not counted."""
    if publish_as_pattern(field) is not None:
        return PUBLISH_AS_PER_DEVICE_MAX, "publish-as patterns"
    if grant_subject(field) is not None:
        return GRANTS_PER_DEVICE_MAX, "grants"
    return (TAGS_PER_DEVICE_MAX, "tags") if field_class(field) is FieldClass.TAGS else None


def refusal(
    theirs: Cell, *, rights: PeerRights, side: Side, definitions: Iterable[Definition], present: int | None
) -> str:
    """Return the code with which this side refuses a well-formed edit of the other, empty where it takes it.

    `present` is how many fields of that kind the object has, None where this one is there already.
    """
    kind = field_class(theirs.field)
    if not rights.allows(kind):
        return "edit_not_allowed"
    most = most_of(theirs.field)
    if most is not None and theirs.value is not None and present is not None and present >= most[0]:
        return "too_many"
    alias = set_alias(theirs.field)
    if alias is None or theirs.value is None or side is not Side.SOURCE or fields_address(theirs.object) is None:
        return ""
    named = {definition.alias: definition for definition in definitions}
    return set_value_refusal(named.get(alias), theirs.value)
