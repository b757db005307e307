-- A site's database. Times are ms since 1970 UTC unless a name says otherwise; counts are readings; bytes are sealed bytes.

-- One row per fact about the site itself: UUID, name, keys, certificates, settings changed through pages.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

-- A set of devices that share one set of resource definitions.
CREATE TABLE connector (
    connector_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('standalone', 'source', 'target')),
    created_ms INTEGER NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    creates_devices INTEGER NOT NULL DEFAULT 0, -- HTTP readings of unknown devices make them
    host_every_s REAL NOT NULL DEFAULT 0 -- readings of this machine every so many seconds, 0 for none
) STRICT;

-- The pairing window of a source, at most one per connector; the code is erased when it is over.
CREATE TABLE pairing_window (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    window_id BLOB NOT NULL,
    code TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

-- What a connector knows about its pair.
CREATE TABLE pair (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    pair_id BLOB NOT NULL,
    side INTEGER NOT NULL, -- 0 source, 1 target: ours
    state TEXT NOT NULL, -- shared.core.completion.PairState
    root BLOB NOT NULL, -- secret of generation 1
    certificate BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    peer_site_id TEXT NOT NULL,
    peer_site_name TEXT NOT NULL,
    peer_connector_id TEXT NOT NULL,
    peer_identity_key BLOB NOT NULL,
    agreed_ms INTEGER NOT NULL,
    paired_ms INTEGER,
    roll_back_ms INTEGER NOT NULL, -- a source still pending then rolls back
    accepted INTEGER NOT NULL DEFAULT 1, -- 0: a person at the source has to accept first
    UNIQUE (pair_id, side) -- both sides of a pair may be connectors of one site
) STRICT;

-- Pairs this source rolled back, so that a late hello gets the signed answer.
CREATE TABLE dissolution (
    pair_id BLOB PRIMARY KEY,
    connector_id TEXT NOT NULL,
    statement BLOB NOT NULL,
    dissolved_ms INTEGER NOT NULL
) STRICT;

-- Devices as people see them; name, description and locked are drawn from `cell`.
CREATE TABLE device (
    device_id INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    identity TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER,
    UNIQUE (connector_id, identity)
) STRICT;

-- Tags of devices, drawn from `cell`: a set of (name, value) pairs.
CREATE TABLE tag (
    device_id INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (device_id, name, value)
) STRICT, WITHOUT ROWID;

-- Versioned fields (shared.core.cells); the truth behind device and tag.
CREATE TABLE cell (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT,
    source_count INTEGER NOT NULL,
    target_count INTEGER NOT NULL,
    stamp_ms INTEGER NOT NULL,
    site_id TEXT NOT NULL,
    control_row INTEGER, -- entry of control_out that carries our edit; gone from there: applied on both
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, object, field)
) STRICT, WITHOUT ROWID;

-- What lost in a conflict of two edits (G11).
CREATE TABLE conflict (
    conflict_id INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    kept TEXT,
    lost TEXT,
    lost_site_id TEXT NOT NULL,
    found_ms INTEGER NOT NULL
) STRICT;

-- Resource definitions of a connector.
CREATE TABLE resource (
    resource_id INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    alias TEXT NOT NULL,
    format TEXT NOT NULL CHECK (format IN ('number', 'string', 'boolean')),
    unit TEXT NOT NULL DEFAULT '',
    allowed TEXT, -- JSON: {"low": x, "high": y} or {"any": [...]}
    settable INTEGER NOT NULL DEFAULT 0,
    remote_sync INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    UNIQUE (connector_id, alias)
) STRICT;

-- Resource definitions of the other side, as it stated them last; `position` keeps its order.
CREATE TABLE peer_resource (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    position INTEGER NOT NULL,
    definition BLOB NOT NULL,
    PRIMARY KEY (connector_id, position)
) STRICT, WITHOUT ROWID;

-- One resource of one device: its state (G19) and the key of its readings.
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: history of a deleted device must not become another's
    device_id INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    resource_id INTEGER NOT NULL REFERENCES resource ON DELETE CASCADE,
    last_ms INTEGER,
    reported ANY,
    set_value ANY,
    received_ms INTEGER,
    UNIQUE (device_id, resource_id)
) STRICT;

-- History: one value of one series at one millisecond (G6).
CREATE TABLE reading (
    series_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    value ANY NOT NULL,
    PRIMARY KEY (series_id, at_ms)
) STRICT, WITHOUT ROWID;

-- Counters of the stream a connector originates (G1).
CREATE TABLE stream (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    accepted INTEGER NOT NULL DEFAULT 0,
    adopted INTEGER NOT NULL DEFAULT 0,
    unknown INTEGER NOT NULL DEFAULT 0,
    tail_count INTEGER NOT NULL DEFAULT 0,
    tail_bytes INTEGER NOT NULL DEFAULT 0,
    outbox_count INTEGER NOT NULL DEFAULT 0,
    outbox_bytes INTEGER NOT NULL DEFAULT 0,
    last_settled_ms INTEGER
) STRICT;

-- Readings given up by the origin, by cause.
CREATE TABLE dropped (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    cause TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (connector_id, cause)
) STRICT, WITHOUT ROWID;

-- Epochs of this origin and the destination's word on them; intervals are MessagePack [low, high, ...].
CREATE TABLE epoch_out (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    recorded BLOB NOT NULL,
    closed BLOB NOT NULL,
    applied INTEGER NOT NULL,
    held INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    dropped TEXT NOT NULL, -- JSON cause -> count
    PRIMARY KEY (connector_id, epoch)
) STRICT, WITHOUT ROWID;

-- The tail: readings accepted and not yet sealed, one row per accept and resource.
CREATE TABLE tail (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    resource TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX tail_by_connector ON tail (connector_id, row);
CREATE INDEX tail_by_age ON tail (connector_id, accepted_ms);

-- The outbox: sealed segments without a word from the destination. `dropped` names the cause where given up.
CREATE TABLE segment (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    count INTEGER NOT NULL,
    accepted_ms INTEGER NOT NULL, -- newest acceptance inside
    first_ms INTEGER NOT NULL, -- oldest reading inside
    last_ms INTEGER NOT NULL,
    series BLOB NOT NULL, -- MessagePack [[series_id, first_ms, last_ms], ...]
    header BLOB NOT NULL,
    body BLOB NOT NULL,
    dropped TEXT
) STRICT;
CREATE UNIQUE INDEX segment_by_number ON segment (connector_id, epoch, number);
CREATE INDEX segment_by_row ON segment (connector_id, row);
CREATE INDEX segment_by_age ON segment (connector_id, accepted_ms) WHERE dropped IS NULL;

-- What is kept of recorded segments, so that a restored destination can be given them again (G4).
CREATE TABLE sent_segment (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    series BLOB NOT NULL,
    settled_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, epoch, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_segment_by_age ON sent_segment (connector_id, settled_ms);

-- Gap notices, ours and the other side's.
CREATE TABLE gap (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    gap_id TEXT NOT NULL,
    ours INTEGER NOT NULL,
    noticed_ms INTEGER NOT NULL,
    notice BLOB NOT NULL, -- shared.core.entries.GapNotice
    PRIMARY KEY (connector_id, gap_id)
) STRICT, WITHOUT ROWID;

-- Epochs of the other side's origin as this destination has them.
CREATE TABLE epoch_in (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    recorded BLOB NOT NULL,
    closed BLOB NOT NULL,
    applied INTEGER NOT NULL,
    held INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, epoch)
) STRICT, WITHOUT ROWID;

-- Readings that arrived before their device or resource did.
CREATE TABLE held (
    row INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    device TEXT NOT NULL,
    resource TEXT NOT NULL,
    count INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX held_by_device ON held (connector_id, device);
CREATE INDEX held_by_resource ON held (connector_id, resource);
CREATE INDEX held_by_age ON held (connector_id, arrived_ms);
CREATE INDEX held_by_row ON held (connector_id, row);

-- Genuine arrivals that could not be applied (G7): segments (kind 0) and control entries (kind 1).
CREATE TABLE quarantine (
    quarantine_id INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    kind INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL,
    header BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Our control log, what the other side has not acknowledged of it.
CREATE TABLE control_out (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL,
    header BLOB NOT NULL,
    body BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX control_out_by_number ON control_out (connector_id, epoch, number);
CREATE INDEX control_out_by_row ON control_out (connector_id, row);

-- How far, in which epoch, the other side acknowledged our control log last: a fresh statement that lacks it was made by
-- a restored peer.
CREATE TABLE control_epoch (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far the other side's control log is applied.
CREATE TABLE control_in (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    up_to INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, epoch)
) STRICT, WITHOUT ROWID;

-- The other side's last stated ledger.
CREATE TABLE peer_ledger (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    ledger BLOB NOT NULL,
    stated_ms INTEGER NOT NULL
) STRICT;

-- Last good answers of live lookups (G10).
CREATE TABLE lookup_copy (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    question BLOB NOT NULL,
    answer BLOB NOT NULL,
    answered_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, question)
) STRICT, WITHOUT ROWID;

-- People.
CREATE TABLE person (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'viewer', 'auditor')),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sessions of people, by the SHA-256 of the opaque ID in their cookie.
CREATE TABLE session (
    id_hash BLOB PRIMARY KEY,
    user_name TEXT NOT NULL COLLATE NOCASE REFERENCES person ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user_name);

-- API keys of programs; the secret is stored as its SHA-256 only.
CREATE TABLE api_key (
    key_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL, -- its first and last characters, to tell keys apart
    scopes TEXT NOT NULL, -- JSON list
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms INTEGER,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Who did what, when, from where. `chain` is the SHA-256 of the row before and this one: an edit shows.
CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    origin TEXT NOT NULL, -- the address it came from
    detail TEXT NOT NULL DEFAULT '',
    chain BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
