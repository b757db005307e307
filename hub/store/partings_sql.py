"""Partings in SQLite: pairs that both sides ended on purpose. Verbs run in the caller's transaction."""

from __future__ import annotations

import sqlite3

from hub.store.rules import PARTINGS_PER_SITE_MAX
from shared.certificates import PairCertificate
from shared.sealing import Side

_KEY = "pair_id = ? AND source_site_id = ? AND target_site_id = ?"


def _key(certificate: PairCertificate) -> tuple[bytes, str, str]:
    """The sites belong to the key: else a stranger's pair of the same ID could stand in the way of this one."""
    return certificate.pair_id, certificate.source.site_id, certificate.target.site_id


def part_pair(
    connection: sqlite3.Connection, certificate: PairCertificate, packed: bytes, told_by: Side, *, now_ms: int
) -> bool:
    """Keep a parting and who told it, remove its pair and what hangs on it; return whether both have told it."""
    of_source, teller = told_by is Side.SOURCE, certificate.party(told_by).site_id
    # Behind all others of the site, also where the clock was set back: else the newest would be the first to go.
    connection.execute(
        "INSERT INTO partings (pair_id, source_site_id, target_site_id, packed, told_by_source, told_by_target,"
        " teller_site_id, parted_ms) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, MAX(?8, COALESCE(MAX(parted_ms) + 1, 0))"
        " FROM partings WHERE teller_site_id = ?7 ON CONFLICT DO UPDATE SET"
        " told_by_source = told_by_source | excluded.told_by_source,"
        " told_by_target = told_by_target | excluded.told_by_target",
        (*_key(certificate), packed, of_source, not of_source, teller, now_ms),
    )
    connection.execute(
        "DELETE FROM partings WHERE teller_site_id = ?1 AND parted_ms < (SELECT parted_ms FROM partings"
        " WHERE teller_site_id = ?1 ORDER BY parted_ms DESC LIMIT 1 OFFSET ?2)",
        (teller, PARTINGS_PER_SITE_MAX),
    )
    _remove(connection, certificate)
    found = parting(connection, certificate)
    return found is not None and found[1]


def _remove(connection: sqlite3.Connection, certificate: PairCertificate) -> None:
    """Remove the pair, if the one of that ID is between these very connectors."""
    of_ends = (
        "SELECT pair FROM pair_ends JOIN pairs USING (pair) WHERE pair_id = ? AND site_id = ? AND connector_id = ?"
    )
    rows = {
        row[0]
        for party in (certificate.source, certificate.target)
        for row in connection.execute(of_ends, (certificate.pair_id, party.site_id, party.connector_id))
    }
    for pair in rows:
        # Copies first: the trigger that counts them must find its row of backlogs.
        connection.execute("DELETE FROM copies WHERE pair = ?", (pair,))
        connection.execute("DELETE FROM pairs WHERE pair = ?", (pair,))


def parting(connection: sqlite3.Connection, certificate: PairCertificate) -> tuple[bytes, bool] | None:
    """Return (packed parting, whether both sides have told it) of this pair."""
    row = connection.execute(
        f"SELECT packed, told_by_source AND told_by_target FROM partings WHERE {_KEY}",  # noqa: S608  # a text of ours
        _key(certificate),
    ).fetchone()
    return None if row is None else (bytes(row[0]), bool(row[1]))
