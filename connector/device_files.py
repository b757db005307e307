"""Devices as files, CSV or JSON (W12): what is exported imports back to the same. Pure: text in, records out, and back.

A column or key that a file does not have is left alone at the device; one that is there and empty empties it (but a name
is never empty). Tags in CSV
are `name=value` with `;` between them; a backslash takes `;`, `=` and itself for what they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from shared.errors import Refused
from shared.limits import BULK_DEVICES_MAX

FileForm: TypeAlias = Literal["csv", "json"]
COLUMNS: Final = ("identity", "name", "description", "locked", "tags", "configuration")
_YES: Final = frozenset({"yes", "true", "1"})
_NO: Final = frozenset({"", "no", "false", "0"})


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device as files hold it: `tags` are (name, value) pairs, `configuration` is a JSON object."""

    identity: str
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    tags: list[tuple[str, str]] | UnsetType = UNSET
    configuration: dict[str, Any] | UnsetType = UNSET


class Row(msgspec.Struct, frozen=True):
    """One row of a file: its number (from 1, without the head), and its record, or why it is none."""

    number: int
    record: DeviceRecord | None
    refusal: Refused | None = None


def read_devices(body: bytes, form: FileForm) -> list[Row]:
    """Read a file; a row that cannot be read says so and stops nothing. Raises Refused where the file cannot be read."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("invalid", what="File", why=f"it is not UTF-8 (byte {error.start})") from None
    rows = _read_csv(text) if form == "csv" else _read_json(text)
    found = []
    for row in rows:
        found.append(row)
        if len(found) > BULK_DEVICES_MAX:
            raise Refused("too_many_devices", most=BULK_DEVICES_MAX)
    return found


def write_devices(records: Iterable[DeviceRecord], form: FileForm) -> bytes:
    """Return the file of these devices."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(list(records)), indent=1) + b"\n"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(getattr(record, column)) for column in COLUMNS])
    return out.getvalue().encode()


# --- CSV ----------------------------------------------------------------------------------------------------------------


def _read_csv(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        _check_head(head)
        for cells in reader:
            if not any(cells):
                continue
            number += 1
            yield _read_row(number, head, cells)
    except csv.Error as error:
        raise Refused("invalid", what="File", why=f"line {reader.line_num} is not CSV ({error})") from None


def _check_head(head: Sequence[str]) -> None:
    if "identity" not in head:
        raise Refused("invalid", what="File", why="its first line names no column 'identity'")
    for at, name in enumerate(head):
        if name not in COLUMNS:
            raise Refused("invalid", what="File", why=f"column '{name[:50]}' is none of {', '.join(COLUMNS)}")
        if name in head[:at]:
            raise Refused("invalid", what="File", why=f"it has column '{name}' twice")


def _read_row(number: int, head: Sequence[str], cells: Sequence[str]) -> Row:
    try:
        if len(cells) > len(head):
            raise Refused("invalid", what="Row", why=f"it has {len(cells)} cells, the first line has {len(head)}")
        # A short row leaves alone what it lacks; a device without a name has that of its identity, never an empty one.
        given = zip(head, cells, strict=False)
        values = {name: _value(name, cell) for name, cell in given if name != "name" or cell.strip()}
        values.setdefault("identity", "")
        return Row(number, msgspec.convert(values, DeviceRecord))
    except Refused as refused:
        return Row(number, None, refused)


def _value(column: str, cell: str) -> Any:
    match column:
        case "locked":
            word = cell.strip().lower()
            if word not in _YES | _NO:
                raise Refused("invalid", what="Locked", why="it is yes or no")
            return word in _YES
        case "tags":
            return _read_tags(cell)
        case "configuration":
            return _read_configuration(cell)
        case _:
            return cell


def _read_configuration(cell: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(cell.strip() or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused("invalid", what="Configuration", why=f"it is no JSON object ({error})") from None


def _read_tags(cell: str) -> list[tuple[str, str]]:
    tags: list[tuple[str, str]] = []
    parts: list[str] = [""]
    letters = iter(cell + ";")
    for letter in letters:
        if letter == "\\":
            parts[-1] += next(letters, "")
        elif letter == "=" and len(parts) == 1:
            parts.append("")
        elif letter != ";":
            parts[-1] += letter
        elif len(parts) == 2:
            tags.append((parts[0], parts[1]))
            parts = [""]
        elif parts[0].strip():
            raise Refused("invalid", what="Tags", why=f"'{parts[0].strip()[:50]}' is not name=value")
        else:
            parts = [""]
    return tags


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ";".join(f"{_escaped(name)}={_escaped(text)}" for name, text in value)
        case dict():
            return msgspec.json.encode(value).decode() if value else ""
        case str():
            return value
        case _:
            return ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace("=", "\\=")


# --- JSON ---------------------------------------------------------------------------------------------------------------


def _read_json(text: str) -> Iterator[Row]:
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused("invalid", what="File", why=f"it is no JSON list of devices ({error})") from None
    for number, item in enumerate(items, start=1):
        try:
            yield Row(number, msgspec.json.decode(item, type=DeviceRecord))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            yield Row(number, None, Refused("invalid", what="Device", why=str(error)))
