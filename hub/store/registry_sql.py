"""Sites, tokens and pairs in SQLite. Functions run inside a unit of work and never commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final

from hub.store.rows import Pair, Site, Token
from hub.store.rules import check_known_site, check_token
from shared.certificates import PairCertificate, Party, unpack
from shared.errors import Refused
from shared.limits import PAIRS_PER_SITE_MAX
from shared.sealing import Side

# One site can have a few pairings fail in a row; thousands would be an attack on the disk.
_DISSOLUTIONS_PER_SITE_MAX: Final = 1_000


def _site(row: sqlite3.Row | None) -> Site | None:
    if row is None:
        return None
    return Site(
        row["site_id"],
        row["site_name"],
        row["hub_key"],
        row["identity_key"],
        row["certificate"],
        row["enrolled_ms"],
        row["revoked_ms"],
    )


def _token(row: sqlite3.Row | None) -> Token | None:
    return None if row is None else Token(**dict(row))


def _pair(row: sqlite3.Row) -> Pair:
    certificate, _ = unpack(PairCertificate, row["packed"])
    return Pair(certificate, row["packed"], row["registered_ms"])


def site(connection: sqlite3.Connection, site_id: str) -> Site | None:
    """Return one site."""
    return _site(connection.execute("SELECT * FROM sites WHERE site_id = ?", (site_id,)).fetchone())


def sites(connection: sqlite3.Connection) -> list[Site]:
    """Return all sites by name."""
    rows = connection.execute("SELECT * FROM sites ORDER BY site_name")
    return [found for row in rows if (found := _site(row)) is not None]


def restore_site(connection: sqlite3.Connection, new: Site) -> tuple[Site, bool]:
    """Return the stored row of a site, and whether it was put in just now; raises Refused where it clashes."""
    named = connection.execute("SELECT * FROM sites WHERE folded_name = ?", (new.site_name.casefold(),)).fetchone()
    known = check_known_site(new, same_id=site(connection, new.site_id), same_name=_site(named))
    if known is not None:
        return known, False
    connection.execute(
        "INSERT INTO sites (site_id, site_name, folded_name, hub_key, identity_key, certificate, enrolled_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            new.site_id,
            new.site_name,
            new.site_name.casefold(),
            new.hub_key,
            new.identity_key,
            new.certificate,
            new.enrolled_ms,
        ),
    )
    return new, True


def enrol_site(connection: sqlite3.Connection, new: Site, *, token_digest: bytes | None, now_ms: int) -> Site:
    """Put a site in and use its token up; raises Refused."""
    stored, is_new = restore_site(connection, new)
    if is_new and token_digest is not None:
        row = connection.execute("SELECT * FROM tokens WHERE digest = ?", (token_digest,)).fetchone()
        token = check_token(_token(row), new.site_name, now_ms=now_ms)
        connection.execute("UPDATE tokens SET used_ms = ? WHERE token_id = ?", (now_ms, token.token_id))
    return stored


def revoke_site(connection: sqlite3.Connection, site_id: str, *, now_ms: int) -> Site:
    """Mark a site as revoked; raises Refused('not_found')."""
    connection.execute("UPDATE sites SET revoked_ms = coalesce(revoked_ms, ?) WHERE site_id = ?", (now_ms, site_id))
    revoked = site(connection, site_id)
    if revoked is None:
        raise Refused("not_found", what="site")
    return revoked


def add_token(connection: sqlite3.Connection, token: Token) -> None:
    """Keep a token."""
    connection.execute(
        "INSERT INTO tokens (token_id, digest, site_name, hint, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (token.token_id, token.digest, token.site_name, token.hint, token.created_ms, token.expires_ms),
    )


def tokens(connection: sqlite3.Connection, *, now_ms: int) -> list[Token]:
    """Return tokens that have not expired, newest first."""
    rows = connection.execute("SELECT * FROM tokens WHERE expires_ms > ? ORDER BY created_ms DESC, token_id", (now_ms,))
    return [found for row in rows if (found := _token(row)) is not None]


def revoke_token(connection: sqlite3.Connection, token_id: str) -> None:
    """Delete an unused token; raises Refused('not_found')."""
    cursor = connection.execute("DELETE FROM tokens WHERE token_id = ? AND used_ms IS NULL", (token_id,))
    if cursor.rowcount == 0:
        raise Refused("not_found", what="unused token")


def register_pair(
    connection: sqlite3.Connection,
    certificate: PairCertificate,
    packed: bytes,
    *,
    ends: Collection[Side],
    now_ms: int,
) -> bool:
    """Put a pair in; return whether it is new. Raises Refused('pair_conflict'), ('too_many_of_site')."""
    row = connection.execute(
        "SELECT packed, registered_ms FROM pairs WHERE pair_id = ?", (certificate.pair_id,)
    ).fetchone()
    if row is not None and _pair(row).certificate != certificate:
        raise Refused("pair_conflict")
    freed = [party for side in ends if _gives_way(connection, party := certificate.party(side), certificate)]
    if row is None:
        for side in ends:
            _check_count(connection, certificate.party(side).site_id)
        connection.execute(
            "INSERT INTO pairs (pair_id, packed, registered_ms) VALUES (?, ?, ?)",
            (certificate.pair_id, packed, now_ms),
        )
    connection.executemany(
        "DELETE FROM pair_ends WHERE site_id = ? AND connector_id = ?",
        [(party.site_id, party.connector_id) for party in freed],
    )
    connection.executemany(
        "INSERT INTO pair_ends (site_id, connector_id, pair, side)"
        " SELECT ?, ?, pair, ? FROM pairs WHERE pair_id = ? ON CONFLICT DO NOTHING",
        [
            (certificate.party(side).site_id, certificate.party(side).connector_id, side, certificate.pair_id)
            for side in ends
        ],
    )
    return row is None


def _gives_way(connection: sqlite3.Connection, party: Party, certificate: PairCertificate) -> bool:
    """Whether a pair at this end was signed with a key that is not the site's; raises Refused where it was with that."""
    row = connection.execute(
        "SELECT packed, registered_ms, side FROM pair_ends JOIN pairs USING (pair)"
        " WHERE site_id = ? AND connector_id = ?",
        (party.site_id, party.connector_id),
    ).fetchone()
    if row is None or (before := _pair(row).certificate) == certificate:
        return False
    if before.party(Side(row["side"])).identity_key == party.identity_key:
        raise Refused("pair_conflict")
    return True


def _check_count(connection: sqlite3.Connection, site_id: str) -> None:
    (count,) = connection.execute("SELECT count(*) FROM pair_ends WHERE site_id = ?", (site_id,)).fetchone()
    if count >= PAIRS_PER_SITE_MAX:
        raise Refused("too_many_of_site", most=PAIRS_PER_SITE_MAX, what="pairs")


def pairs(connection: sqlite3.Connection) -> list[Pair]:
    """Return all pairs, oldest first."""
    return [_pair(row) for row in connection.execute("SELECT packed, registered_ms FROM pairs ORDER BY pair")]


def dissolve_pair(
    connection: sqlite3.Connection, pair_id: bytes, source_site_id: str, packed: bytes, *, now_ms: int
) -> Pair | None:
    """Keep a dissolution, remove its pair and what hangs on it; return the pair if it was registered."""
    row = connection.execute("SELECT packed, registered_ms FROM pairs WHERE pair_id = ?", (pair_id,)).fetchone()
    pair = None if row is None else _pair(row)
    if pair is not None and pair.certificate.source.site_id != source_site_id:
        raise Refused("certificate_refused", why="only the pair's source may dissolve it")
    # Behind all others of the site, also where the clock was set back: else the newest would be the first to go.
    connection.execute(
        "INSERT INTO dissolutions (pair_id, source_site_id, packed, dissolved_ms)"
        " SELECT ?1, ?2, ?3, MAX(?4, COALESCE(MAX(dissolved_ms) + 1, 0)) FROM dissolutions WHERE source_site_id = ?2"
        " ON CONFLICT DO UPDATE SET packed = excluded.packed",
        (pair_id, source_site_id, packed, now_ms),
    )
    connection.execute(
        "DELETE FROM dissolutions WHERE source_site_id = ?1 AND dissolved_ms < (SELECT dissolved_ms FROM dissolutions"
        " WHERE source_site_id = ?1 ORDER BY dissolved_ms DESC LIMIT 1 OFFSET ?2)",
        (source_site_id, _DISSOLUTIONS_PER_SITE_MAX),
    )
    # Copies first: the trigger that counts them must find its row of backlogs.
    connection.execute("DELETE FROM copies WHERE pair = (SELECT pair FROM pairs WHERE pair_id = ?)", (pair_id,))
    connection.execute("DELETE FROM pairs WHERE pair_id = ?", (pair_id,))
    return pair


def dissolution(connection: sqlite3.Connection, pair_id: bytes, source_site_id: str) -> bytes | None:
    """Return the packed dissolution this site sent for this pair."""
    row = connection.execute(
        "SELECT packed FROM dissolutions WHERE pair_id = ? AND source_site_id = ?", (pair_id, source_site_id)
    ).fetchone()
    return None if row is None else bytes(row[0])
