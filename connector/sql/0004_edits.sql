-- Two-way edits of everything a device has (G11 to G13, G18, G19).

-- Who made a version; a refusal (G18) carries its code.
ALTER TABLE cell ADD COLUMN side INTEGER NOT NULL DEFAULT 0; -- 0 source, 1 target
ALTER TABLE cell ADD COLUMN who TEXT NOT NULL DEFAULT ''; -- person or program, as its site names it
ALTER TABLE cell ADD COLUMN refused TEXT NOT NULL DEFAULT '';
UPDATE cell SET side = 1 WHERE target_count > source_count;
-- Generations (G13): existence counts them, all other fields belong to one.
UPDATE cell SET value = CASE WHEN value IS NULL THEN '-1' ELSE '1' END WHERE field = 'exists';
UPDATE cell SET object = 'generation/1/' || substr(object, 8) WHERE field <> 'exists' AND object LIKE 'device/%';

-- Digest of all cells of a connector (G13), kept up with each of them; absent until it is first asked for.
CREATE TABLE cell_digest (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Drawn from `cell`, except `sync`: the worst of what is open about the device in `change` and `conflict`.
ALTER TABLE device ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE device ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN configuration TEXT NOT NULL DEFAULT '{}'; -- a JSON object
ALTER TABLE device ADD COLUMN sync TEXT NOT NULL DEFAULT 'synced'
    CHECK (sync IN ('synced', 'pending', 'refused', 'conflict'));
CREATE INDEX device_by_sync ON device (connector_id, sync, identity) WHERE sync <> 'synced';

-- Permissions, drawn from `cell`. `device_id` NULL: on all devices of the connector.
CREATE TABLE grant_row (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    device_id INTEGER REFERENCES device ON DELETE CASCADE,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('user', 'group')),
    subject TEXT NOT NULL,
    site_id TEXT NOT NULL, -- the site that knows the subject, where alone the grant acts
    level TEXT NOT NULL CHECK (level IN ('read', 'write', 'manage')),
    expires_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX grant_by_device ON grant_row (connector_id, ifnull(device_id, 0), subject_kind, subject, site_id);
CREATE INDEX grant_of_device ON grant_row (device_id) WHERE device_id IS NOT NULL;
CREATE INDEX grant_by_subject ON grant_row (connector_id, site_id, subject_kind, subject);

-- Which other devices a gateway may report for, drawn from `cell`. `*` in a pattern is any run of characters.
CREATE TABLE publish_as (
    device_id INTEGER NOT NULL REFERENCES device ON DELETE CASCADE,
    pattern TEXT NOT NULL,
    PRIMARY KEY (device_id, pattern)
) STRICT, WITHOUT ROWID;

-- When `set_value` was set: the time of the device's reading, or the stamp of an operator's edit, whichever is later.
ALTER TABLE series ADD COLUMN set_ms INTEGER;
UPDATE series SET set_ms = last_ms;

-- Series of deleted devices whose readings housekeeping has still to delete.
CREATE TABLE gone_series (
    series_id INTEGER PRIMARY KEY
) STRICT;

-- What this connector lets its partner do (G18); never replicated. Absent: everything.
CREATE TABLE peer_right (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    rights BLOB NOT NULL -- shared.core.judge.PeerRights
) STRICT, WITHOUT ROWID;

-- History of changes, ours and the other side's. `open`: pending, or refused and neither read nor edited since.
CREATE TABLE change (
    change_id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    identity TEXT, -- the device, NULL for what concerns all
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    before TEXT, -- JSON
    after TEXT,
    who TEXT NOT NULL,
    site_id TEXT NOT NULL,
    ours INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, -- of this site's clock
    state TEXT NOT NULL CHECK (state IN ('pending', 'applied', 'refused', 'conflict')),
    reason TEXT NOT NULL DEFAULT '', -- code of a refusal; policy that decided a conflict
    open INTEGER NOT NULL DEFAULT 0,
    control_row INTEGER -- entry of control_out that carries it, while it is pending
) STRICT;
CREATE INDEX change_by_device ON change (connector_id, identity, change_id);
CREATE INDEX change_by_connector ON change (connector_id, change_id);
CREATE INDEX change_by_entry ON change (control_row) WHERE control_row IS NOT NULL;
CREATE INDEX change_open ON change (connector_id, identity) WHERE open = 1;

-- What lost in a conflict of two edits (G11), until somebody settles it; conflicts from before have no device.
DROP TABLE conflict;
CREATE TABLE conflict (
    conflict_id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    identity TEXT, -- the device, NULL for what concerns all
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    kept TEXT, -- JSON
    kept_site_id TEXT NOT NULL,
    kept_who TEXT NOT NULL,
    lost TEXT,
    lost_site_id TEXT NOT NULL,
    lost_who TEXT NOT NULL,
    policy TEXT NOT NULL, -- what decided
    found_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    closed_how TEXT NOT NULL DEFAULT '', -- restored, dismissed, edited
    closed_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX conflict_open ON conflict (connector_id, identity) WHERE closed_ms IS NULL;
CREATE INDEX conflict_by_connector ON conflict (connector_id, conflict_id);
CREATE INDEX conflict_by_field ON conflict (connector_id, object, field) WHERE closed_ms IS NULL;

-- What we asked the other side to do for us (create a resource), and its answer.
CREATE TABLE request (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    alias TEXT NOT NULL,
    who TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused')),
    reason TEXT NOT NULL DEFAULT '', -- code of the refusal
    answered_ms INTEGER,
    PRIMARY KEY (connector_id, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_by_alias ON request (connector_id, alias, asked_ms);
