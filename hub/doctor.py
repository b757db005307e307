"""What `pairhub doctor hub` looks at."""

from __future__ import annotations

from importlib.resources import files

from hub.settings import HubSettings
from hub.store.operators_sql import broken_audit_number
from hub.store.sqlite import DATABASE_NAME
from shared.doctor.audit import check_audit
from shared.doctor.daemon import check_daemon
from shared.doctor.database import check_database
from shared.doctor.findings import Finding, failed, ok, warning
from shared.doctor.machine import Stopwatch, check_cap, check_directory
from shared.doctor.notices import check_notices
from shared.doctor.served import check_configuration

_SECRET_FILES = (DATABASE_NAME, "operator.token", "setup.token")


async def examine(settings: HubSettings) -> list[Finding]:
    """Look at everything; takes as long as the database's check."""
    watch = Stopwatch.start()
    database = settings.data_dir / DATABASE_NAME
    found = [*check_configuration(settings, "hub"), *check_notices(settings)]
    found += [*check_directory(settings.data_dir, _SECRET_FILES), _key(settings)]
    checked = check_database(database, files("hub") / "sql")
    found += checked
    if all(finding.outcome == "ok" for finding in checked):
        found += check_audit(database, broken_audit_number)
    found.append(check_cap(database, settings.copy_bytes_max, "copy_bytes_max"))
    found.append(await check_daemon(settings.data_dir, "pairhub hub serve, or systemctl start pairhub-hub"))
    return [*found, watch.check()]


def _key(settings: HubSettings) -> Finding:
    path = settings.key_path
    try:
        if not path.exists():
            return ok("key", f"{path} is not there yet; the first start makes it")
        if path.stat().st_mode & 0o077:
            return warning("key", f"others on this machine may read {path}", f"chmod 600 {path}")
        path.read_bytes()
    except OSError as error:
        return failed(
            "key", f"{path} cannot be read: {error.strerror}", "run this as the daemon's user, or give it the file"
        )
    return ok("key", f"{path} is there; keep a copy of it elsewhere")
