"""What people and programs want done to devices, as edits of versioned fields (G11); checked before anything is written.

Every function raises Refused for what cannot be: `invalid` with what and why, `not_found`, `exists`, `too_many`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.core import judge
from shared.core.edits import Edit
from shared.core.entries import Definition
from shared.core.fields import (
    CONFIGURATION,
    CONNECTOR_OBJECT,
    DESCRIPTION,
    EXISTS,
    LOCKED,
    NAME,
    Grant,
    Subject,
    device_object,
    fields_object,
    generation_of,
    grant_field,
    is_text,
    json_text,
    publish_as_field,
    set_field,
    tag_field,
    why_wrong_value,
)
from shared.errors import Refused
from shared.limits import (
    CONFIGURATION_BYTES_MAX,
    DESCRIPTION_CHARS_MAX,
    GRANTS_PER_DEVICE_MAX,
    IDENTITY_CHARS_MAX,
    NAME_CHARS_MAX,
    PUBLISH_AS_PER_DEVICE_MAX,
    SITE_ID_CHARS_MAX,
    SUBJECT_CHARS_MAX,
    TAG_CHARS_MAX,
    TAGS_PER_DEVICE_MAX,
)
from shared.sealing import Side


class NewDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device to be made. `configuration` is the text of a JSON object; `tags` are (name, value) pairs."""

    identity: str
    name: str = ""
    description: str = ""
    locked: bool = False
    configuration: str = "{}"
    tags: Sequence[tuple[str, str]] = ()


class DeviceEdits:
    """Makes edits of devices of one connector, inside the unit of work that stores them."""

    def __init__(self, connection: sqlite3.Connection, connector_id: str) -> None:
        self._run = connection.execute
        self._id = connector_id

    # --- existence --------------------------------------------------------------------------------------------------------

    def creation(self, new: NewDevice) -> list[Edit]:
        """Make a device, in a new generation where it was deleted before."""
        identity = _text("Identity", new.identity, IDENTITY_CHARS_MAX)
        generation = self._next_generation(identity)
        of = fields_object(identity, generation)
        name = _text("Name", new.name or identity, max(NAME_CHARS_MAX, len(identity)))
        description = _text("Description", new.description, DESCRIPTION_CHARS_MAX, least=0)
        edits: list[Edit] = [(device_object(identity), EXISTS, str(generation)), (of, NAME, json_text(name))]
        if description:
            edits.append((of, DESCRIPTION, json_text(description)))
        if new.locked:
            edits.append((of, LOCKED, "true"))
        if (configuration := checked_configuration(new.configuration)) != "{}":
            edits.append((of, CONFIGURATION, configuration))
        tags = dict.fromkeys(_tag(name, value) for name, value in new.tags)
        _refuse_too_many(len(tags), TAGS_PER_DEVICE_MAX, "tags")
        return edits + [(of, field, "true") for field in tags]

    def _next_generation(self, identity: str) -> int:
        row = self._run(
            "SELECT value FROM cell WHERE connector_id = ? AND object = ? AND field = ?",
            (self._id, device_object(identity), EXISTS),
        ).fetchone()
        generation = generation_of(row[0]) if row else 0
        if generation > 0:
            raise Refused("exists", what="device")
        generation = 1 - generation
        # Edits of a generation that the other side refused may be here: they must not land on this one (G13).
        while self._run(
            "SELECT 1 FROM cell WHERE connector_id = ? AND object = ? LIMIT 1",
            (self._id, fields_object(identity, generation)),
        ).fetchone():
            generation += 1
        return generation

    def deletion(self, identity: str) -> list[Edit]:
        """Delete a device with tags, grants, state and history, at both sides."""
        return [(device_object(identity), EXISTS, str(-self.generation(identity)))]

    def generation(self, identity: str) -> int:
        """Return the generation of a device that is there."""
        row = self._run(
            "SELECT generation FROM device WHERE connector_id = ? AND identity = ?", (self._id, identity)
        ).fetchone()
        if row is None:
            raise Refused("not_found", what="device")
        return int(row[0])

    def _fields(self, identity: str) -> str:
        return fields_object(identity, self.generation(identity))

    # --- fields -----------------------------------------------------------------------------------------------------------

    def naming(self, identity: str, name: str, description: str) -> list[Edit]:
        """Change name and description."""
        of = self._fields(identity)
        name = _text("Name", name, NAME_CHARS_MAX)
        description = _text("Description", description, DESCRIPTION_CHARS_MAX, least=0)
        return [(of, NAME, json_text(name)), *self._set(of, DESCRIPTION, json_text(description), '""')]

    def locking(self, identity: str, *, locked: bool) -> list[Edit]:
        """Lock or unlock: nothing is taken from a locked device."""
        return self._set(self._fields(identity), LOCKED, "true" if locked else "false", "false")

    def configuring(self, identity: str, configuration: str) -> list[Edit]:
        """Set the configuration, the text of a JSON object."""
        return self._set(self._fields(identity), CONFIGURATION, checked_configuration(configuration), "{}")

    def _set(self, of: str, field: str, value: str, absent: str) -> list[Edit]:
        """Write a field, but not what stands there anyway without one."""
        if (
            value == absent
            and not self._run(
                "SELECT 1 FROM cell WHERE connector_id = ? AND object = ? AND field = ?", (self._id, of, field)
            ).fetchone()
        ):
            return []
        return [(of, field, value)]

    def tagging(self, identity: str, tags: Sequence[tuple[str, str]]) -> list[Edit]:
        """Add (name, value) tags."""
        of = self._fields(identity)
        edits: list[Edit] = [(of, field, "true") for field in dict.fromkeys(_tag(*pair) for pair in tags)]
        self._bound(of, edits, "tag/", TAGS_PER_DEVICE_MAX, "tags")
        return edits

    def untagging(self, identity: str, tags: Sequence[tuple[str, str]]) -> list[Edit]:
        """Remove (name, value) tags; those that are not there are left alone."""
        of = self._fields(identity)
        return [(of, tag_field(name, value), None) for name, value in tags]

    def granting(self, identity: str | None, subject: Subject, grant: Grant) -> list[Edit]:
        """Let a subject do something with a device, or with all of the connector (`identity` None)."""
        of = CONNECTOR_OBJECT if identity is None else self._fields(identity)
        name = _text("User or group", subject.name, SUBJECT_CHARS_MAX)
        site_id = _text("Site of the user", subject.site_id, SITE_ID_CHARS_MAX)
        if subject.kind not in ("user", "group"):
            raise Refused("invalid", what="Kind", why="it is user or group")
        edits: list[Edit] = [(of, grant_field(Subject(subject.kind, name, site_id)), json_text(grant))]
        if why := why_wrong_value(edits[0][1], edits[0][2]):
            raise Refused("invalid", what="Grant", why=why)
        self._bound(of, edits, "grant/", GRANTS_PER_DEVICE_MAX, "grants")
        return edits

    def ungranting(self, identity: str | None, subject: Subject) -> list[Edit]:
        """Take a subject's grant away."""
        of = CONNECTOR_OBJECT if identity is None else self._fields(identity)
        return [(of, grant_field(subject), None)]

    def publishing_as(self, identity: str, pattern: str) -> list[Edit]:
        """Let a gateway report for devices whose identity fits a pattern (`*` is any run of characters)."""
        of = self._fields(identity)
        edits: list[Edit] = [(of, publish_as_field(_text("Pattern", pattern, IDENTITY_CHARS_MAX)), "true")]
        self._bound(of, edits, "publish-as/", PUBLISH_AS_PER_DEVICE_MAX, "publish-as patterns")
        return edits

    def not_publishing_as(self, identity: str, pattern: str) -> list[Edit]:
        """Take a publish-as pattern away."""
        return [(self._fields(identity), publish_as_field(pattern), None)]

    def setting(self, identity: str, alias: str, value: Any, definition: Definition | None, side: Side) -> list[Edit]:
        """Set a value for a resource of a device, an operator's wish; `definition` is that of the source, if known.

        The source judges (G19): a target that has not heard of a definition asks all the same.
        """
        of = self._fields(identity)
        text = json_text(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
        if why := why_wrong_value(set_field(alias), text):
            raise Refused("invalid", what="Value", why=why)
        code = judge.set_value_refusal(definition, text) if definition or side is Side.SOURCE else ""
        if code:
            allowed = definition.allowed if definition else ""
            raise Refused(code, resource=alias, format=definition.format if definition else "", allowed=allowed)
        return [(of, set_field(alias), text)]

    def _bound(self, of: str, edits: Sequence[Edit], like: str, most: int, what: str) -> None:
        held = {
            row[0]
            for row in self._run(
                "SELECT field FROM cell WHERE connector_id = ? AND object = ? AND field >= ? AND field < ?"
                " AND value IS NOT NULL",
                (self._id, of, like, like[:-1] + chr(ord(like[-1]) + 1)),
            )
        }
        if not held.issuperset(field for _, field, _ in edits):
            _refuse_too_many(len(held | {field for _, field, _ in edits}), most, what)


def checked_configuration(text: str) -> str:
    """Return a configuration as it is stored; raises Refused('invalid')."""
    text = text.strip() or "{}"
    if len(text.encode(errors="replace")) > CONFIGURATION_BYTES_MAX:
        raise Refused("invalid", what="Configuration", why=f"it takes at most {CONFIGURATION_BYTES_MAX} bytes")
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused("invalid", what="Configuration", why=f"it is no JSON object ({error})") from None
    return text


def _tag(name: str, value: str) -> str:
    return tag_field(_text("Tag name", name, TAG_CHARS_MAX), _text("Tag value", value, TAG_CHARS_MAX, least=0))


def _refuse_too_many(count: int, most: int, what: str) -> None:
    if count > most:
        raise Refused("too_many", most=most, what=what)


def _text(what: str, text: str, most: int, *, least: int = 1) -> str:
    text = text.strip()
    if not is_text(text, most, least=least):
        raise Refused("invalid", what=what, why=f"it takes {least} to {most} printable characters")
    return text
