"""The forms of a body of readings: lines of JSON, a list, and batches of one device; each value keeps its position.

Every form becomes numbered lines, grouped by series as `connector.readings` stores them. A refusal names a number;
`Body.position` says in words of the form where a person finds it, as in `payload[3].values.temperature`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from connector.lines import Groups, Line, group_lines
from connector.readings import UNREADABLE, Outcome, parse_ndjson
from shared.errors import Refused
from shared.limits import INGEST_BODY_BYTES_MAX, INGEST_LINES_MAX, INGEST_REPORTERS_MAX

Form = Literal["lines", "list", "batches"]
_LINE_TYPES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "text/plain"}
)
_BLANK: Final = b" \t\r\n"
_PAYLOAD: Final = b'"payload"'

Scalar = int | float | str | bool


class _Entry(msgspec.Struct, frozen=True):
    """The values of one moment; `device` where the batch's identity reports for another device."""

    values: dict[str, Scalar]
    timestamp: int | float | str | None = None
    device: str | None = None


class _LooseEntry(msgspec.Struct, frozen=True):
    """An entry whose values are looked at one by one."""

    values: dict[str, msgspec.Raw]
    timestamp: int | float | str | None = None
    device: str | None = None


class _Batch(msgspec.Struct, frozen=True):
    identity: str
    payload: list[_Entry]


class _LooseBatch(msgspec.Struct, frozen=True):
    identity: str
    payload: list[msgspec.Raw]


_LINE = msgspec.json.Decoder(Line)
_LINES = msgspec.json.Decoder(list[Line])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_BATCH = msgspec.json.Decoder(_Batch)
_LOOSE_BATCH = msgspec.json.Decoder(_LooseBatch)
_LOOSE_ENTRY = msgspec.json.Decoder(_LooseEntry)
_SCALAR = msgspec.json.Decoder(Scalar)


@dataclass(slots=True)
class Body:
    """A parsed body: lines by series, and how to find them again."""

    form: Form
    parts: dict[str, Groups] = field(default_factory=dict)
    """Lines by who reports them: the identity of a batch whose entries name other devices, or "" for whoever asks."""
    _positions: list[tuple[str, str]] = field(default_factory=list)

    def position(self, number: int) -> str:
        """Return where the line of a refusal stands in the body; empty for lines, which have their number."""
        if self.form == "lines":
            return ""
        if not self._positions:
            return f"[{number - 1}]"
        where, alias = self._positions[number - 1]
        return f"{where}.values.{alias}" if alias else where

    def part(self, reporter: str) -> Groups:
        """Return the lines of one reporter; raises Refused('too_many_reporters')."""
        groups = self.parts.get(reporter)
        if groups is None:
            if len(self.parts) > INGEST_REPORTERS_MAX:
                raise Refused("too_many_reporters", most=INGEST_REPORTERS_MAX)
            groups = self.parts[reporter] = {}
        return groups

    def place(self, where: str, alias: str = "") -> int:
        """Give the next number to a value of a batch; raises Refused('too_many_lines')."""
        if len(self._positions) >= INGEST_LINES_MAX:
            raise Refused("too_many_lines", most=INGEST_LINES_MAX)
        self._positions.append((where, alias))
        return len(self._positions)


def parse_body(body: bytes, content_type: str, outcome: Outcome) -> Body:
    """Read a body in the form that its type and first bytes show; what is no reading is refused in `outcome`.

    Raises Refused for the body as a whole: 'body_too_large', 'too_many_lines', 'invalid' (JSON that ends in the middle).
    """
    if len(body) > INGEST_BODY_BYTES_MAX:
        raise Refused("body_too_large", most=INGEST_BODY_BYTES_MAX)
    form = form_of(body, content_type)
    if form == "lines":
        return Body("lines", {"": parse_ndjson(body, outcome)})
    parsed = Body(form)
    if form == "list":
        _read_list(body, parsed, outcome)
    else:
        _read_batch(body, "", parsed, outcome)
    return parsed


def form_of(body: bytes, content_type: str) -> Form:
    """Tell the form: a type of lines decides; else `[` opens a list, and an object with `payload` is a batch."""
    first = body[:1] if body[:1] not in _BLANK else body.lstrip(_BLANK)[:1]
    if is_of_lines(content_type):
        return "lines"
    if first == b"[":
        return "list"
    # A text among lines may hold the word as well; then the first line is a reading of its own.
    if first == b"{" and _PAYLOAD in body and not _is_line(body.lstrip(_BLANK).partition(b"\n")[0]):
        return "batches"
    return "lines"


def is_of_lines(content_type: str) -> bool:
    """Tell whether the type alone says that a body is of lines."""
    return content_type.partition(";")[0].strip().lower() in _LINE_TYPES


def _is_line(text: bytes) -> bool:
    try:
        _LINE.decode(text)
    except UNREADABLE:
        return False
    return True


# --- lists ------------------------------------------------------------------------------------------------------------


def _read_list(body: bytes, parsed: Body, outcome: Outcome) -> None:
    try:
        lines = _LINES.decode(body)
    except UNREADABLE:
        _read_items(body, parsed, outcome)
        return
    if len(lines) > INGEST_LINES_MAX:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    group_lines(enumerate(lines, start=1), parsed.part(""))


def _read_items(body: bytes, parsed: Body, outcome: Outcome) -> None:
    """Read a list item by item: batches, readings among things that are none, or all of these."""
    try:
        items = _RAWS.decode(body)
    except UNREADABLE as error:
        raise Refused("invalid", what="Body", why=str(error)) from error
    if len(items) > INGEST_LINES_MAX:
        raise Refused("too_many_lines", most=INGEST_LINES_MAX)
    for at, item in enumerate(items):
        text = bytes(item)
        if _PAYLOAD in text and not _is_line(text):
            _read_batch(text, f"[{at}].", parsed, outcome)
            continue
        number = parsed.place(f"[{at}]")
        try:
            group_lines([(number, _LINE.decode(text))], parsed.part(""))
        except UNREADABLE as error:
            outcome.refuse(number, _why(error, "not_json"))


# --- batches ----------------------------------------------------------------------------------------------------------


def _read_batch(text: bytes, prefix: str, parsed: Body, outcome: Outcome) -> None:
    """Read one batch; the whole of it is refused where it has no shape at all."""
    try:
        batch = _BATCH.decode(text)
    except UNREADABLE:
        _read_loose_batch(text, prefix, parsed, outcome)
        return
    for at, entry in enumerate(batch.payload):
        _group(parsed, f"{prefix}payload[{at}]", batch.identity, entry, entry.values.items())


def _read_loose_batch(text: bytes, prefix: str, parsed: Body, outcome: Outcome) -> None:
    try:
        batch = _LOOSE_BATCH.decode(text)
    except UNREADABLE as error:
        if not prefix:
            raise Refused("invalid", what="Body", why=str(error)) from error
        outcome.refuse(parsed.place(prefix[:-1]), Refused("bad_batch", why=str(error)))
        return
    for at, raw in enumerate(batch.payload):
        where = f"{prefix}payload[{at}]"
        try:
            entry = _LOOSE_ENTRY.decode(raw)
        except UNREADABLE as error:
            outcome.refuse(parsed.place(where), _why(error, "bad_batch"))
            continue
        _group(parsed, where, batch.identity, entry, _good_values(where, entry, parsed, outcome))


def _good_values(where: str, entry: _LooseEntry, parsed: Body, outcome: Outcome) -> Iterator[tuple[str, Scalar]]:
    for alias, raw in entry.values.items():
        try:
            value = _SCALAR.decode(raw)
        except UNREADABLE as error:
            outcome.refuse(parsed.place(where, alias), _why(error, "bad_batch"))
        else:
            yield alias, value


def _group(
    parsed: Body, where: str, identity: str, entry: _Entry | _LooseEntry, values: Iterable[tuple[str, Scalar]]
) -> None:
    """Number the values of an entry and put them where they belong: to the batch's device, or to one it reports for."""
    device = entry.device or identity
    group_lines(
        ((parsed.place(where, alias), Line(device, alias, value, entry.timestamp)) for alias, value in values),
        parsed.part("" if device == identity else identity),
    )


def _why(error: Exception, otherwise: str) -> Refused:
    if str(error).startswith("Number out of range"):
        return Refused("not_a_number")
    return Refused(otherwise, why=str(error))
