"""From an MQTT message to readings: the levels of its topic, the value in its payload, its time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from connector.lines import Line
from connector.readings import UNREADABLE
from shared.batches import Format
from shared.errors import Refused

if TYPE_CHECKING:
    from connector.ingest.mqtt_settings import MqttSettings

_HOLE = re.compile(r"\{([^{}]*)\}")
_HOLES: Final = frozenset({"device", "resource", "gateway"})
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]")
_TRUTHS: Final = {"true": True, "false": False, "on": True, "off": False, "1": True, "0": False}
_TIME_MAX: Final = 1e15

Path = tuple[str | int, ...]


class Template:
    """The shape of a topic, as `plant/{device}/{resource}`: texts and holes; `+` is any level, a last `#` any rest."""

    def __init__(self, text: str) -> None:
        """Read a template; raises Refused('invalid')."""
        self.text = text
        holes = _HOLE.findall(text)
        if text.startswith("/") or not text or "\0" in text:
            raise _wrong("template", "it takes levels such as plant/{device}/{resource}")
        if set(holes) - _HOLES or len(set(holes)) < len(holes) or "{" in _HOLE.sub("", text):
            raise _wrong("template", "it takes {device}, {resource} and {gateway}, each once")
        self.names = frozenset(holes)
        levels = text.split("/")
        self._pattern = re.compile("/".join(self._level(level, levels) for level in levels))
        self.topic_filter = "/".join("+" if _HOLE.search(level) else level for level in levels)

    @staticmethod
    def _level(level: str, levels: list[str]) -> str:
        if level == "+":
            return "[^/]*"
        if level == "#" and level is levels[-1]:
            return ".*"
        if "+" in level or "#" in level:
            raise _wrong("template", "+ and # fill a whole level, # the last")
        parts = _HOLE.split(level)  # text, name, text, name, text
        return "".join(
            f"(?P<{part}>[^/]+{'?' if len(parts) > 3 else ''})" if at % 2 else re.escape(part)
            for at, part in enumerate(parts)
        )

    def read(self, topic: str) -> dict[str, str]:
        """Return what stands in the holes; raises Refused('topic_not_mapped')."""
        found = self._pattern.fullmatch(topic)
        if found is None:
            raise Refused("topic_not_mapped", topic=topic[:200], template=self.text)
        return found.groupdict()


def read_path(text: str, what: str = "value_path") -> Path:
    """Read a dotted path such as `$.data.temp` or `$.list[0].x`; raises Refused('invalid') in the name of a field."""
    rest = text.removeprefix("$") if text.startswith("$") else f".{text}"
    steps: list[str | int] = []
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise _wrong(what, f"'{text[:100]}' is no path such as $.data.temp")
        steps.append(step[1] if step[1] is not None else int(step[2]))
        rest = rest[step.end() :]
    return tuple(steps)


def find(document: Any, path: Path, text: str) -> Any:
    """Return what stands at a path of decoded JSON; raises Refused('path_missing')."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                raise Refused("path_missing", path=text)
            document = document[step]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            raise Refused("path_missing", path=text)
    return document


@dataclass(frozen=True, slots=True)
class Mapped:
    """The readings of one message, and the gateway of its topic; empty for none."""

    lines: list[Line]
    gateway: str = ""


class Mapping:
    """Turns the messages of one subscription into readings."""

    def __init__(self, settings: MqttSettings) -> None:
        """Prepare for checked settings."""
        self._settings = settings
        self._template = Template(settings.template) if settings.template else None
        self._values = {alias: (read_path(path), path) for alias, path in settings.values.items()}
        self._value = read_path(settings.value_path or "$")
        self._time = read_path(settings.timestamp_path) if settings.timestamp_path else None

    def read(self, topic: str, payload: bytes, formats: dict[str, Format]) -> Mapped:
        """Return the readings of a message; raises Refused with what is wrong. Plain texts are read as `formats` say."""
        settings = self._settings
        named = self._template.read(topic) if self._template is not None else {}
        device, resource = named.get("device") or settings.device, named.get("resource") or settings.resource
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            raise Refused("payload_unreadable", why="it is not UTF-8 text") from None
        if settings.payload == "plain":
            lines = [Line(device, resource, read_plain(text, formats.get(resource)))]
        else:
            lines = self._read_json(text, device, resource)
        return Mapped(lines, named.get("gateway", ""))

    def _read_json(self, text: str, device: str, resource: str) -> list[Line]:
        try:
            document = msgspec.json.decode(text)
        except UNREADABLE as error:
            raise Refused("payload_unreadable", why=str(error)) from None
        at = self._read_time(document)
        wanted = self._values or {resource: (self._value, self._settings.value_path or "$")}
        lines = []
        for alias, (path, shown) in wanted.items():
            value = find(document, path, shown)
            if not isinstance(value, int | float | str):
                raise Refused("payload_unreadable", why=f"what stands at {shown} is no number, text or truth")
            lines.append(Line(device, alias, value, at))
        return lines

    def _read_time(self, document: Any) -> int | float | str | None:
        """Return the time as readings take it; the unit decides what a number means."""
        if self._time is None:
            return None
        found = find(document, self._time, self._settings.timestamp_path)
        if self._settings.timestamp_unit == "iso":
            if isinstance(found, str):
                return found
        elif isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _TIME_MAX:
            return round(found * 1000) if self._settings.timestamp_unit == "s" else found
        raise Refused("bad_time")


def read_plain(text: str, format_: Format | None) -> int | float | str | bool:
    """Read a plain payload as its resource has it; raises Refused. What the resource does not know stays a text."""
    if format_ == "number":
        stripped = text.strip()
        try:
            return int(stripped) if stripped.lstrip("+-").isdecimal() and stripped.isascii() else float(stripped)
        except ValueError:
            raise Refused("payload_unreadable", why=f"'{stripped[:60]}' is not a number") from None
    if format_ == "boolean":
        truth = _TRUTHS.get(text.strip().lower())
        if truth is None:
            raise Refused("payload_unreadable", why=f"'{text.strip()[:60]}' is none of true, false, on, off, 1, 0")
        return truth
    return text


def _wrong(what: str, why: str) -> Refused:
    return Refused("invalid", what=what, why=why)
