"""Who this site is: UUID, name, keys and enrolment; made once, kept in the database's `meta` (SECURITY, keys)."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.certificates import Party, new_key, public_bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """A site. `enrolment` and `hub_key` (public, hex) are empty until a hub has enrolled it."""

    site_id: str
    site_name: str
    hub_private: Ed25519PrivateKey
    identity_private: Ed25519PrivateKey
    enrolment: bytes = b""
    hub_key: str = ""

    def party(self, connector_id: str) -> Party:
        """This site as one side of a pair."""
        return Party(self.site_id, self.site_name, connector_id, public_bytes(self.identity_private))


def read_meta(connection: sqlite3.Connection, name: str) -> object:
    """Return one fact of the site, None where it is not set."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def write_meta(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Set one fact of the site."""
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def load_or_create(connection: sqlite3.Connection, site_name: str) -> Identity:
    """Return the site's identity; at the very first start make it. The UUID never changes; the name may until enrolled."""
    site_id = read_meta(connection, "site_id")
    if site_id is None:
        site_id = str(uuid.uuid4())
        write_meta(connection, "site_id", site_id)
        write_meta(connection, "hub_private", new_key().private_bytes_raw())
        write_meta(connection, "identity_private", new_key().private_bytes_raw())
    enrolment = read_meta(connection, "enrolment") or b""
    if not enrolment or read_meta(connection, "site_name") is None:
        write_meta(connection, "site_name", site_name)
    return Identity(
        str(site_id),
        str(read_meta(connection, "site_name")),
        Ed25519PrivateKey.from_private_bytes(_bytes(read_meta(connection, "hub_private"))),
        Ed25519PrivateKey.from_private_bytes(_bytes(read_meta(connection, "identity_private"))),
        _bytes(enrolment),
        str(read_meta(connection, "hub_key") or ""),
    )


def enrolled(connection: sqlite3.Connection, identity: Identity, enrolment: bytes, hub_key: str) -> Identity:
    """Keep what the hub certified and return the identity with it."""
    write_meta(connection, "enrolment", enrolment)
    write_meta(connection, "hub_key", hub_key)
    return replace(identity, enrolment=enrolment, hub_key=hub_key)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
