"""What `pairhub doctor site` looks at."""

from __future__ import annotations

import sqlite3
import time
from importlib.resources import files

from connector.hub_way import hub_way
from connector.people import broken_audit_id
from connector.settings import SiteSettings
from shared.disk import is_there
from shared.doctor.audit import check_audit
from shared.doctor.daemon import check_daemon
from shared.doctor.database import check_database, read_only
from shared.doctor.findings import Finding, failed, warning
from shared.doctor.machine import Flow, Stopwatch, check_directory, check_outage
from shared.doctor.network import Way, check_way
from shared.doctor.notices import check_notices
from shared.doctor.served import check_configuration
from shared.limits import DAY_MS, SECOND_MS
from shared.settings import SettingWrong

_SECRET_FILES = ("site.db", "operator.token", "setup.token")
# Where nothing waits, a waiting reading is taken to be as large as in small batches (docs/performance.md).
_WAITING_BYTES_ASSUMED = 8.0
_WAITING_COUNT_LEAST = 1_000


async def examine(settings: SiteSettings) -> list[Finding]:
    """Look at everything; takes as long as the database's check and the way to the hub."""
    watch = Stopwatch.start()
    database = settings.data_dir / "site.db"
    found = [*check_configuration(settings, "site"), *check_notices(settings)]
    found += check_directory(settings.data_dir, _SECRET_FILES)
    checked = check_database(database, files("connector") / "sql")
    found += checked
    if all(finding.outcome == "ok" for finding in checked):
        found += [*check_audit(database, broken_audit_id), _outage(settings)]
    found += await _hub(settings)
    found.append(await check_daemon(settings.data_dir, "pairhub site serve, or systemctl start pairhub-site"))
    return [*found, watch.check()]


async def _hub(settings: SiteSettings) -> list[Finding]:
    if not settings.hub_url:
        return [warning("hub", "no hub_url is set", "set it: without a hub nothing can be paired")]
    try:
        way = hub_way(settings.hub_url, settings.hub_ca, settings.hub_proxy)
    except SettingWrong as wrong:
        return [failed("hub", str(wrong), "correct the setting")]
    return await check_way(Way(way.url, way.proxy, way.tls, lambda error: str(way.failure(error))))


def _outage(settings: SiteSettings) -> Finding:
    database = settings.data_dir / "site.db"
    flow = Flow(0, _WAITING_BYTES_ASSUMED)
    if is_there(database):
        try:
            flow = read_only(database, lambda connection: flow_of(connection, time.time_ns() // 1_000_000))
        except sqlite3.Error as error:
            return warning(
                "disk", f"what flows cannot be read: {error}", "start the daemon, which brings the database up to date"
            )
    return check_outage(database, flow, retention_days=settings.retention_days, cap_bytes=settings.outbox_bytes_max)


def flow_of(connection: sqlite3.Connection, now_ms: int) -> Flow:
    """Return what was accepted into streams a second, over the last day or since the first of it."""
    row = connection.execute(
        "SELECT SUM(count), MIN(at_ms) FROM ("
        " SELECT count, settled_ms AS at_ms FROM sent_segment WHERE settled_ms > :since"
        " UNION ALL SELECT count, accepted_ms FROM segment WHERE accepted_ms > :since"
        " UNION ALL SELECT count, accepted_ms FROM tail WHERE accepted_ms > :since)",
        {"since": now_ms - DAY_MS},
    ).fetchone()
    waiting = connection.execute(
        "SELECT SUM(tail_count + outbox_count), SUM(tail_bytes + outbox_bytes) FROM stream"
    ).fetchone()
    count, size = waiting[0] or 0, waiting[1] or 0
    each_bytes = max(1.0, size / count) if count >= _WAITING_COUNT_LEAST else _WAITING_BYTES_ASSUMED
    if not row[0]:
        return Flow(0, each_bytes)
    # A burst of a moment ago is no rate: at least a minute counts.
    passed_s = max(60.0, (now_ms - row[1]) / SECOND_MS)
    return Flow(row[0] / passed_s, each_bytes)
