"""The bundle of diagnostics: one zip that a person can hand to somebody else, for it holds no secret and no reading.

In it: versions, settings, status, repairs, accounts, gaps in numbers, measures, the last log lines, the state of the
database and of the clock. Not in it: values of readings, keys, tokens, codes, passwords, names of people.
"""

from __future__ import annotations

import asyncio
import base64
import io
import platform
import sqlite3
import sys
import time
import zipfile
from contextlib import suppress
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from connector.site import Site
from connector.status import site_status
from shared.disk import disk_use
from shared.doctor.database import check_database, read_only
from shared.errors import Refused, StorageFailed
from shared.limits import DIAGNOSTICS_DATABASE_S, REPAIRS_KEPT_MAX
from shared.logs import last_lines
from shared.notices.repair_status import repair_status
from shared.redaction import Redactor
from shared.settings import describe
from shared.settings_report import REDACTED, shown

BUNDLE_MEDIA: Final = "application/zip"
_STEPS: Final = 100_000  # of SQLite's machine, between looks at the clock
_ABOUT: Final = """\
A bundle of diagnostics of a Pairhub site.

It holds no values of readings, no keys, tokens, codes or passwords, and no names of people: where one stood, "(left out)"
or "(a person)" stands now. Names of sites, connectors and resources, and addresses of machines, are in it.
"""


async def make_bundle(site: Site) -> bytes:
    """Return the bundle of a running site; a part that cannot be made says why, and takes no other with it."""
    known = await _redactor(site)
    parts: dict[str, Any] = {
        "versions.json": _versions(),
        "settings.json": _settings(site),
        "clock.json": _clock(site),
    }
    try:
        parts["status.json"] = msgspec.to_builtins(await site_status(site))
        parts["repairs.json"] = await _repairs(site)
        parts["gaps.json"] = await site.database.read(_gaps)
    except (StorageFailed, Refused) as error:
        parts["not-read.json"] = {"why": str(error)}
    parts["database.json"] = await asyncio.to_thread(_database, site.database.path)
    texts = {
        name: msgspec.json.format(msgspec.json.encode(known.value(part)), indent=2) for name, part in parts.items()
    }
    texts["measures.txt"] = known.text(await site.repairs.measures()).encode()
    texts["log.txt"] = "\n".join(known.text(line) for line in last_lines()).encode()
    texts["README.txt"] = _ABOUT.encode()
    return await asyncio.to_thread(_zipped, texts)


def _zipped(texts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            bundle.writestr(f"pairhub-diagnostics/{name}", text)
    return out.getvalue()


# --- what must not be in it ---------------------------------------------------------------------------------------------


async def _redactor(site: Site) -> Redactor:
    secrets = [value for value in _secret_settings(site) if value]
    names = [text for repair in site.repairs.open() for name, text in repair.finding.facts if name == "who"]
    try:
        stored, people = await site.database.read(_known)
        secrets += stored
        names += people
    except StorageFailed:
        pass  # then nothing of it gets into the bundle either, but for the log, which has no secrets of its own
    return Redactor(secrets, names)


def _secret_settings(site: Site) -> list[str]:
    found: list[str] = []
    for one in describe(type(site.settings), name="site"):
        value = getattr(site.settings, one.name)
        if one.secret and value:
            found += [str(value), *(part.strip() for part in str(value).split(","))]
        if isinstance(value, Path) and one.name.endswith("_file"):
            try:
                found += [value.read_text(encoding="utf-8").strip()]
            except (OSError, UnicodeDecodeError):
                continue  # it holds nothing that could be quoted
    for name in ("operator.token", "setup.token"):
        try:
            found.append((site.settings.data_dir / name).read_text(encoding="utf-8").strip())
        except OSError:
            continue
    return found


def _known(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Return what is stored of secrets and of names of people."""
    blobs = [row[0] for row in connection.execute("SELECT root FROM pair")]
    blobs += [row[0] for row in connection.execute("SELECT value FROM meta WHERE name LIKE '%private%'")]
    secrets = [text for blob in blobs if isinstance(blob, bytes) for text in _spelled(blob)]
    for query in ("SELECT code FROM pairing_window", "SELECT password FROM mqtt_subscription"):
        secrets += [str(row[0]) for row in connection.execute(query)]
    names = [
        str(row[0])
        for query in (
            "SELECT name FROM person",
            "SELECT name FROM api_key",
            "SELECT DISTINCT who FROM (SELECT who FROM audit ORDER BY audit_id DESC LIMIT 10000)",
            "SELECT DISTINCT who FROM (SELECT who FROM change ORDER BY change_id DESC LIMIT 10000)",
        )
        for row in connection.execute(query)
    ]
    return secrets, names


def _spelled(blob: bytes) -> tuple[str, ...]:
    return blob.hex(), blob.hex().upper(), base64.b64encode(blob).decode(), base64.urlsafe_b64encode(blob).decode()


# --- what is in it --------------------------------------------------------------------------------------------------------


def _versions() -> dict[str, Any]:
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
        "packages": dict(sorted((each.name, each.version) for each in distributions())),
    }


def _settings(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in describe(type(site.settings), name="site"):
        value = getattr(site.settings, one.name)
        found[one.name] = REDACTED if one.secret and value else shown(value)
    return found


def _clock(site: Site) -> dict[str, Any]:
    return {
        "wall_ms": site.clock.wall_ms(),
        "monotonic_ms": site.clock.monotonic_ms(),
        "time_zone": list(time.tzname),
        "in_doubt": site.guard.in_doubt,
        "jumped_ms": site.guard.jumped_ms,
        "hub_ahead_ms": site.guard.hub_off_ms,
        "peer_ahead_ms": site.guard.peer_off_ms,
    }


async def _repairs(site: Site) -> dict[str, Any]:
    over = await site.repairs.cleared(REPAIRS_KEPT_MAX)
    return {
        "open": [msgspec.to_builtins(repair_status(repair)) for repair in site.repairs.open()],
        "cleared": [msgspec.to_builtins(repair_status(repair)) for repair in over],
    }


def _gaps(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return how many readings are missing, by connector and cause; not of which device."""
    rows = connection.execute("SELECT connector_id, cause, count FROM dropped ORDER BY connector_id, cause").fetchall()
    notices = dict(connection.execute("SELECT connector_id, COUNT(*) FROM gap GROUP BY connector_id").fetchall())
    return [
        {"connector": row[0], "cause": row[1], "readings": row[2], "notices_in_all": notices.get(row[0], 0)}
        for row in rows
    ]


def _database(path: Path) -> dict[str, Any]:
    use = disk_use(path)
    checked = check_database(path, files("connector") / "sql", within_s=DIAGNOSTICS_DATABASE_S)
    found: dict[str, Any] = {
        "check": [{"outcome": each.outcome.value, "what": each.what} for each in checked],
        "file_bytes": use.database_bytes,
        "disk_free_bytes": use.free_bytes,
    }
    try:
        found |= read_only(path, lambda connection: _sizes(connection, time.monotonic() + DIAGNOSTICS_DATABASE_S))
    except sqlite3.Error as error:
        found["sizes"] = f"cannot be read: {error}"
    return found


def _sizes(connection: sqlite3.Connection, end_s: float) -> dict[str, Any]:
    """Return rows and bytes of each table; None for those that time did not allow to count."""
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows: dict[str, int | None] = {}
    for name in names:
        rows[name] = _one(connection, f'SELECT COUNT(*) FROM "{name}"')  # noqa: S608  # a name out of the schema itself
    pages: dict[str, int] = {}
    with suppress(sqlite3.Error):  # not every SQLite has it, and a great file takes too long
        pages = dict(connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall())
    return {"schema": version, "rows": rows, "bytes": pages}


def _one(connection: sqlite3.Connection, query: str) -> int | None:
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return None
