-- History in columns. Table `reading` stays for what comes in handfuls; everything else is kept packed (shared.batches).
-- Where the same millisecond of a series is found twice, the greater value counts (G6).

-- Readings as they were accepted or arrived, many series in one row. Folded into `chunk` before there are many.
CREATE TABLE recent (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    level INTEGER NOT NULL, -- 0 as it came, 1 folded once: many series with few readings each
    first_ms INTEGER NOT NULL, -- earliest reading inside
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    series BLOB NOT NULL, -- series IDs in the order of the body, 8 bytes each, little-endian; 0: not kept
    body BLOB NOT NULL -- batch
) STRICT;
CREATE INDEX recent_by_level ON recent (connector_id, level, row);

-- Readings of one series, in order of time, no millisecond twice. Spans of two chunks may overlap.
CREATE TABLE chunk (
    row INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    growing INTEGER NOT NULL, -- 1: small, so that later readings are put into it
    body BLOB NOT NULL -- batch of one series without names
) STRICT;
CREATE INDEX chunk_by_first ON chunk (series_id, first_ms, last_ms, count);
CREATE INDEX chunk_by_last ON chunk (series_id, last_ms, first_ms, count);
CREATE INDEX chunk_growing ON chunk (series_id, row) WHERE growing;

-- The tail holds batches of several resources in one row (resource ''); `counts` tells them apart, as in `segment`.
ALTER TABLE tail ADD COLUMN counts TEXT NOT NULL DEFAULT '{}';
UPDATE tail SET counts = json_object(resource, count);
DROP TRIGGER tail_added;
DROP TRIGGER tail_removed;
CREATE TRIGGER tail_added AFTER INSERT ON tail BEGIN
    INSERT INTO waiting (connector_id, resource, tail_count, first_ms, accepted_ms)
    SELECT new.connector_id, key, value, new.accepted_ms, new.accepted_ms FROM json_each(new.counts) WHERE true
    ON CONFLICT DO UPDATE SET tail_count = tail_count + excluded.tail_count,
        first_ms = COALESCE(first_ms, excluded.first_ms),
        accepted_ms = MAX(COALESCE(accepted_ms, 0), excluded.accepted_ms);
END;
CREATE TRIGGER tail_removed AFTER DELETE ON tail BEGIN
    UPDATE waiting SET tail_count = tail_count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
END;
