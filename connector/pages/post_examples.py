"""Lines for a shell that post a reading, made of what the connector has, so that they work as they are copied."""

from __future__ import annotations

import shlex
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import HTTPConnection

from connector.readings import definitions_of
from web.front_door import public_url

# The name under which programs of ours look for a key, `pairhub replay` among them.
KEY_VARIABLE: Final = "PAIRHUB_API_KEY"
_VALUES: Final = {"number": 4.2, "string": "running", "boolean": True}


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading that the connector would take; made up where it has no device or resource yet."""

    device: str
    resource: str
    value: Any
    has_device: bool
    has_resource: bool


def sample_of(connection: sqlite3.Connection, connector_id: str, device: str = "") -> Sample:
    """Return a reading of the first device, or of the one named, and the first resource of a connector."""
    found = connection.execute(
        "SELECT identity FROM device WHERE connector_id = ? ORDER BY identity LIMIT 1", (connector_id,)
    ).fetchone()
    definitions = definitions_of(connection, connector_id)
    alias = min(definitions, default="")
    value: Any = _VALUES["number"]
    if alias:
        definition = definitions[alias]
        value = _allowed_value(
            definition.format, msgspec.json.decode(definition.allowed) if definition.allowed else None
        )
    known = device or (found[0] if found else "")
    return Sample(known or "pump-1", alias or "pressure", value, bool(known), bool(alias))


def _allowed_value(format_: str, allowed: Any) -> Any:
    usual = _VALUES[format_]
    if not allowed:
        return usual
    if "any" in allowed:
        return usual if usual in allowed["any"] else next(iter(allowed["any"]), usual)
    low, high = allowed.get("low"), allowed.get("high")
    if (low is None or low <= usual) and (high is None or usual <= high):
        return usual
    return low if low is not None else high


def readings_url(request: HTTPConnection, connector_id: str) -> str:
    """Return the absolute address to which programs post readings."""
    return f"{public_url(request)}/api/v1/connectors/{connector_id}/readings"


def line_of_one(url: str, sample: Sample, key: str) -> str:
    """Return the line that posts one reading as a line of JSON. Without a key it names the variable that holds it."""
    one = {"device": sample.device, "resource": sample.resource, "value": sample.value}
    return _line(url, "application/x-ndjson", one, key)


def lines_of_forms(url: str, sample: Sample) -> tuple[tuple[str, str], ...]:
    """Return (what it is, line) for each form of a body."""
    one = {"device": sample.device, "resource": sample.resource, "value": sample.value}
    batch = {"identity": sample.device, "payload": [{"values": {sample.resource: sample.value}}]}
    return (
        ("Lines of JSON, one reading each", line_of_one(url, sample, "")),
        ("A list of readings", _line(url, "application/json", [one], "")),
        ("A batch of one device", _line(url, "application/json", batch, "")),
    )


def replay_line(request: HTTPConnection, connector_id: str, sample: Sample) -> str:
    """Return the line that replays a file into the connector, from any machine that has a key."""
    words = ("--device", sample.device, "--resource", sample.resource, "--connector", connector_id)
    return shlex.join(("pairhub", "replay", "series.csv", *words, "--url", public_url(request)))


def _line(url: str, content_type: str, body: Any, key: str) -> str:
    # The variable stands in double quotes, so that the shell fills it in.
    authorization = shlex.quote(f"Authorization: Bearer {key}") if key else f'"Authorization: Bearer ${KEY_VARIABLE}"'
    data = shlex.quote(msgspec.json.encode(body).decode())
    return f"curl -H {authorization} -H 'Content-Type: {content_type}' -d {data} {shlex.quote(url)}"
