"""Which fields two-way edits know: how objects and fields are named, and what may stand in them.

The object `device/<identity>` has one field, `exists`: `n` while generation n is there, `-n` once it was deleted. All
other fields of a device belong to the object `generation/<n>/<identity>`, so that an edit of a deleted device never lands
on one that was made again under its name (G13). What concerns all devices belongs to the object `connector`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from shared.errors import Refused
from shared.foreign import read_json
from shared.limits import (
    ALIAS_CHARS_MAX,
    CONFIGURATION_BYTES_MAX,
    DESCRIPTION_CHARS_MAX,
    GENERATION_MAX,
    IDENTITY_CHARS_MAX,
    NAME_CHARS_MAX,
    READING_VALUE_BYTES_MAX,
    SITE_ID_CHARS_MAX,
    SUBJECT_CHARS_MAX,
    TAG_CHARS_MAX,
)

EXISTS: Final = "exists"
NAME: Final = "name"
DESCRIPTION: Final = "description"
LOCKED: Final = "locked"
CONFIGURATION: Final = "configuration"
CONNECTOR_OBJECT: Final = "connector"
_DEVICE: Final = "device/"
_GENERATION: Final = "generation/"
_TAG: Final = "tag/"
_GRANT: Final = "grant/"
_PUBLISH_AS: Final = "publish-as/"
_SET: Final = "set/"
_POLICY: Final = "policy/"


class FieldClass(Enum):
    """Classes of fields: conflict policies are set per class, and peer rights follow them."""

    DEVICES = "devices"
    TAGS = "tags"
    GRANTS = "grants"
    CONFIGURATION = "configuration"
    VALUES = "values"
    POLICIES = "policies"


# Classes whose conflict policy can be set; conflicts about the policies themselves are always decided by `newer`.
POLICY_CLASSES: Final = tuple(kind for kind in FieldClass if kind is not FieldClass.POLICIES)


class Subject(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Whom a grant is for: a user or a group, with the UUID of the site that knows it; it acts only there (G18)."""

    kind: Literal["user", "group"]
    name: str
    site_id: str


class Grant(msgspec.Struct, frozen=True):
    """What a subject may do with a device; `expires_ms` None for never."""

    level: Literal["read", "write", "manage"]
    expires_ms: int | None = None


# --- names ------------------------------------------------------------------------------------------------------------


def device_object(identity: str) -> str:
    """The object that says whether a device exists."""
    return _DEVICE + identity


def fields_object(identity: str, generation: int) -> str:
    """The object of all other fields of one generation of a device."""
    return f"{_GENERATION}{generation}/{identity}"


def device_identity(object_name: str) -> str | None:
    """The identity in a device's object name, None where the object is something else."""
    return object_name[len(_DEVICE) :] if object_name.startswith(_DEVICE) else None


def fields_address(object_name: str) -> tuple[str, int] | None:
    """The (identity, generation) whose fields an object holds, None where it is something else."""
    if not object_name.startswith(_GENERATION):
        return None
    number, slash, identity = object_name[len(_GENERATION) :].partition("/")
    well_formed = number.isascii() and number.isdigit() and number[0] != "0" and len(number) <= len(str(GENERATION_MAX))
    return (identity, int(number)) if slash and well_formed else None


def identity_of(object_name: str) -> str | None:
    """The identity of the device that an object is about, None where it is about all of them."""
    if (identity := device_identity(object_name)) is not None:
        return identity
    address = fields_address(object_name)
    return address[0] if address else None


def generation_of(value: str | None) -> int:
    """The generation in a value of `exists`: above 0 it is there, below it was deleted, 0 it never was."""
    try:
        return read_json(value, int) if value is not None else 0
    except msgspec.DecodeError:
        return 0


def tag_field(name: str, value: str) -> str:
    """The field of one (name, value) pair."""
    return _TAG + json_text([name, value])


def tag_pair(field: str) -> tuple[str, str] | None:
    """The (name, value) pair of a field, None where the field is no well-formed tag."""
    pair: tuple[str, str] | None = _read(field, _TAG, tuple[str, str])
    return pair


def grant_field(subject: Subject) -> str:
    """The field of one subject's grant."""
    return _GRANT + json_text(subject)


def grant_subject(field: str) -> Subject | None:
    """The subject of a grant's field, None where the field is no well-formed grant."""
    subject: Subject | None = _read(field, _GRANT, Subject)
    return subject


def publish_as_field(pattern: str) -> str:
    """The field of one publish-as pattern of a gateway."""
    return _PUBLISH_AS + pattern


def publish_as_pattern(field: str) -> str | None:
    """The pattern of a publish-as field, None where the field is something else."""
    return field[len(_PUBLISH_AS) :] if field.startswith(_PUBLISH_AS) else None


def set_field(alias: str) -> str:
    """The field of what an operator has set for a resource of a device."""
    return _SET + alias


def set_alias(field: str) -> str | None:
    """The resource of a set field, None where the field is something else."""
    return field[len(_SET) :] if field.startswith(_SET) else None


def policy_field(kind: FieldClass) -> str:
    """The field of a class's conflict policy, on the object `connector`."""
    return _POLICY + kind.value


def field_class(field: str) -> FieldClass:
    """The class of a well-formed field."""
    prefix = field.partition("/")[0] + "/"
    by_prefix = {
        _TAG: FieldClass.TAGS,
        _GRANT: FieldClass.GRANTS,
        _PUBLISH_AS: FieldClass.GRANTS,
        _SET: FieldClass.VALUES,
        _POLICY: FieldClass.POLICIES,
    }
    if field == CONFIGURATION:
        return FieldClass.CONFIGURATION
    return by_prefix.get(prefix, FieldClass.DEVICES)


def json_text(value: Any) -> str:
    """Return a value as compact JSON."""
    return msgspec.json.encode(value).decode()


def _read(field: str, prefix: str, kind: Any) -> Any:
    if not field.startswith(prefix):
        return None
    try:
        return read_json(field[len(prefix) :], kind)
    except msgspec.DecodeError:
        return None


# --- patterns ---------------------------------------------------------------------------------------------------------


def pattern_matches(pattern: str, identity: str) -> bool:
    """Whether an identity fits a publish-as pattern: `*` stands for any run of characters, all others for themselves.

    Takes time in proportion to the two lengths, whatever the pattern.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == identity
    if not identity.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle:
        found = identity.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(identity) - at >= len(last) and identity.endswith(last)


# --- what may stand in a field ----------------------------------------------------------------------------------------


def is_text(text: str, most: int, *, least: int = 0) -> bool:
    """Whether a text has so many characters, all of them printable."""
    return least <= len(text) <= most and all(ord(letter) >= 32 for letter in text)


def why_wrong_address(object_name: str, field: str) -> str:
    """Say why no field of that name can be on that object, empty where it can."""
    identity = identity_of(object_name)
    if identity is None:
        if object_name != CONNECTOR_OBJECT:
            return "it is about neither a device nor its connector"
        fits = field.startswith((_POLICY, _GRANT))
    elif not is_text(identity, IDENTITY_CHARS_MAX, least=1):
        return "it is about a device with an identity that is too long or not printable"
    elif object_name.startswith(_DEVICE):
        fits = field == EXISTS
    else:
        fits = field != EXISTS and not field.startswith(_POLICY)
    return "" if fits else "its field is not known to this release"


def why_wrong_value(field: str, value: str | None) -> str:
    """Say why a value cannot stand in a field of that name, or no field can have it; empty where all is well."""
    if (why := _why_wrong_name(field)) or value is None:
        return why
    if len(value.encode()) > VALUE_BYTES_MAX:
        return "its value is too large"
    check = _CHECKS.get(field) or _CHECKS[field.partition("/")[0] + "/"]
    try:
        return check(value)
    except (msgspec.DecodeError, UnicodeError):
        return "its value is malformed"


def _why_wrong_name(field: str) -> str:
    """Say why a field's name is wrong."""
    if field in _CHECKS:
        return ""
    prefix, slash, rest = field.partition("/")
    if not slash or prefix + slash not in _CHECKS:
        return "its field is not known to this release"
    return _NAMES[prefix + slash](field, rest)


def _wrong_tag(field: str, _: str) -> str:
    pair = tag_pair(field)
    fits = pair is not None and is_text(pair[0], TAG_CHARS_MAX, least=1) and is_text(pair[1], TAG_CHARS_MAX)
    return "" if fits and tag_field(*pair or ("", "")) == field else "its tag is malformed, too long or not printable"


def _wrong_subject(field: str, _: str) -> str:
    subject = grant_subject(field)
    fits = (
        subject is not None
        and is_text(subject.name, SUBJECT_CHARS_MAX, least=1)
        and is_text(subject.site_id, SITE_ID_CHARS_MAX, least=1)
        and grant_field(subject) == field
    )
    return "" if fits else "the subject of its grant is malformed, too long or not printable"


def _wrong_pattern(_: str, pattern: str) -> str:
    return "" if is_text(pattern, IDENTITY_CHARS_MAX, least=1) else "its pattern is too long or not printable"


def _wrong_alias(_: str, alias: str) -> str:
    return "" if is_text(alias, ALIAS_CHARS_MAX, least=1) else "its resource's alias is too long or not printable"


def _wrong_class(_: str, name: str) -> str:
    return "" if name in [kind.value for kind in POLICY_CLASSES] else "it sets a policy for no class that is known"


def _existence(value: str) -> str:
    generation = read_json(value, int)
    well_formed = 0 < abs(generation) <= GENERATION_MAX and str(generation) == value
    return "" if well_formed else "its existence names no generation"


def _text(most: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            text = read_json(value, str)
        except msgspec.DecodeError:
            return "its value is no text"
        return "" if is_text(text, most) else "its text is too long or not printable"

    return check


def _flag(value: str) -> str:
    return "" if value in ("true", "false") else "its value is neither true nor false"


def _present(value: str) -> str:
    return "" if value == "true" else "its value is not true"


def _configuration(value: str) -> str:
    if len(value.encode()) > CONFIGURATION_BYTES_MAX:
        return f"its configuration takes more than {CONFIGURATION_BYTES_MAX} bytes"
    try:
        read_json(value, dict[str, Any])
    except msgspec.DecodeError:
        return "its configuration is no JSON object"
    return ""


def _grant(value: str) -> str:
    grant = read_json(value, Grant)
    if grant.expires_ms is not None and not 0 <= grant.expires_ms < 1 << 53:
        return "its grant ends at no time"
    return "" if json_text(grant) == value else "its grant is not written as grants are"


def _scalar(value: str) -> str:
    read_json(value, bool | float | str)
    return ""


def _policy(value: str) -> str:
    return "" if value in ('"newer"', '"source"', '"target"') else "its policy is neither newer, source nor target"


_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    EXISTS: _existence,
    NAME: _text(max(NAME_CHARS_MAX, IDENTITY_CHARS_MAX)),
    DESCRIPTION: _text(DESCRIPTION_CHARS_MAX),
    LOCKED: _flag,
    CONFIGURATION: _configuration,
    _TAG: _present,
    _GRANT: _grant,
    _PUBLISH_AS: _present,
    _SET: _scalar,
    _POLICY: _policy,
}
_NAMES: Final[dict[str, Callable[[str, str], str]]] = {
    _TAG: _wrong_tag,
    _GRANT: _wrong_subject,
    _PUBLISH_AS: _wrong_pattern,
    _SET: _wrong_alias,
    _POLICY: _wrong_class,
}
# The largest value is that of a resource: a text of 64 KiB, with room for JSON's escapes.
VALUE_BYTES_MAX: Final = READING_VALUE_BYTES_MAX + 1_024


def known_class(name: str) -> FieldClass:
    """Return the class of that name whose policy can be set; raises Refused('invalid')."""
    for kind in POLICY_CLASSES:
        if kind.value == name:
            return kind
    words = ", ".join(kind.value for kind in POLICY_CLASSES)
    raise Refused("invalid", what="Class", why=f"it is one of {words}")
