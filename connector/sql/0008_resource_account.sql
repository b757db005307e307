-- The account by resource (G1), beside that of the whole stream. What was counted before has no resource: it is what the
-- account in all has more than those of all resources together.

-- Of `waiting`, from the first reading of a stream on; never less, as long as the pair lasts.
ALTER TABLE waiting ADD COLUMN accepted_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN recorded_count INTEGER NOT NULL DEFAULT 0; -- of the accepted: the other side has them
ALTER TABLE waiting ADD COLUMN applied_count INTEGER NOT NULL DEFAULT 0; -- at a target: applied here
UPDATE waiting SET accepted_count = tail_count + outbox_count;

-- Readings given up by the origin, by resource and cause; see `dropped`.
CREATE TABLE resource_dropped (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    resource TEXT NOT NULL,
    cause TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (connector_id, resource, cause)
) STRICT, WITHOUT ROWID;

-- Readings by alias, as JSON, of recorded segments; empty in those of before.
ALTER TABLE sent_segment ADD COLUMN counts TEXT NOT NULL DEFAULT '{}';

-- The same of segments that are in quarantine at the other side, or were discarded from it: nobody there can read them.
CREATE TABLE set_aside (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (connector_id, epoch, number)
) STRICT, WITHOUT ROWID;

-- What of an epoch's recorded readings is not applied, by resource: shared.core.account.Apart, empty where nothing is.
ALTER TABLE epoch_out ADD COLUMN apart BLOB NOT NULL DEFAULT x'';
ALTER TABLE epoch_in ADD COLUMN apart BLOB NOT NULL DEFAULT x'';

-- Applied here when the source last heard of us before it stated its ledger: both books at one cut. NULL: not known.
ALTER TABLE peer_ledger ADD COLUMN applied_here INTEGER;
CREATE TABLE peer_resource_ledger (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    resource TEXT NOT NULL,
    ledger BLOB NOT NULL, -- shared.core.ledger.Ledger
    stated_ms INTEGER NOT NULL,
    applied_here INTEGER,
    PRIMARY KEY (connector_id, resource)
) STRICT, WITHOUT ROWID;

DROP TRIGGER segment_dropped;
DROP TRIGGER segment_settled;
CREATE TRIGGER segment_dropped AFTER UPDATE OF dropped ON segment WHEN old.dropped IS NULL AND new.dropped IS NOT NULL BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
    INSERT INTO resource_dropped (connector_id, resource, cause, count)
    SELECT old.connector_id, key, new.dropped, value FROM json_each(old.counts) WHERE true
    ON CONFLICT DO UPDATE SET count = count + excluded.count;
END;
-- The other side has it after all: its word wins over our notice that crossed it.
CREATE TRIGGER segment_undropped AFTER UPDATE OF dropped ON segment WHEN old.dropped IS NOT NULL AND new.dropped IS NULL BEGIN
    UPDATE waiting SET outbox_count = outbox_count + counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
    UPDATE resource_dropped SET count = count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key AND cause = old.dropped;
END;
CREATE TRIGGER segment_settled AFTER DELETE ON segment WHEN old.dropped IS NULL BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value, recorded_count = recorded_count + counted.value,
        applied_ms = MAX(COALESCE(applied_ms, 0), old.accepted_ms)
    FROM json_each(old.counts) AS counted WHERE connector_id = old.connector_id AND resource = counted.key;
END;

-- What gives way when what waits reaches its cap: '' as the site, drop_oldest, refuse_new. A choice of the source alone.
ALTER TABLE resource ADD COLUMN overflow TEXT NOT NULL DEFAULT '';
-- 1: of resources that refuse new readings; never dropped for want of room. The two kinds never share a row.
ALTER TABLE tail ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0; -- of tail_bytes and outbox_bytes
DROP INDEX tail_by_connector;
CREATE INDEX tail_by_connector ON tail (connector_id, kept, row);
