-- What lists of resources show without reading histories or queues: how long history is kept, and what waits.

-- How long readings of a resource are kept here, ms; 0 is for ever. The default is 366 days (HISTORY_RETENTION_MS).
ALTER TABLE resource ADD COLUMN retention_ms INTEGER NOT NULL DEFAULT 31622400000;

-- Devices and last values of one resource.
CREATE INDEX series_by_resource ON series (resource_id);

-- Readings in a segment by alias, as JSON; empty in segments of before this table.
ALTER TABLE segment ADD COLUMN counts TEXT NOT NULL DEFAULT '{}';

-- What waits of each resource, by its alias; triggers keep it, so it is right whichever way readings come and go.
CREATE TABLE waiting (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    resource TEXT NOT NULL,
    tail_count INTEGER NOT NULL DEFAULT 0,
    outbox_count INTEGER NOT NULL DEFAULT 0,
    held_count INTEGER NOT NULL DEFAULT 0, -- at a target: arrived, and their device or resource is not here
    first_ms INTEGER, -- when the first reading for the stream was accepted
    accepted_ms INTEGER, -- when the newest one was
    applied_ms INTEGER, -- newest acceptance among those that the other side has recorded
    PRIMARY KEY (connector_id, resource)
) STRICT, WITHOUT ROWID;

INSERT INTO waiting (connector_id, resource, tail_count, first_ms, accepted_ms)
SELECT connector_id, resource, SUM(count), MIN(accepted_ms), MAX(accepted_ms) FROM tail GROUP BY connector_id, resource;
INSERT INTO waiting (connector_id, resource, held_count)
SELECT connector_id, resource, SUM(count) FROM held WHERE true GROUP BY connector_id, resource
ON CONFLICT DO UPDATE SET held_count = excluded.held_count;

CREATE TRIGGER tail_added AFTER INSERT ON tail BEGIN
    INSERT INTO waiting (connector_id, resource, tail_count, first_ms, accepted_ms)
    VALUES (new.connector_id, new.resource, new.count, new.accepted_ms, new.accepted_ms)
    ON CONFLICT DO UPDATE SET tail_count = tail_count + excluded.tail_count,
        first_ms = COALESCE(first_ms, excluded.first_ms),
        accepted_ms = MAX(COALESCE(accepted_ms, 0), excluded.accepted_ms);
END;
CREATE TRIGGER tail_removed AFTER DELETE ON tail BEGIN
    UPDATE waiting SET tail_count = tail_count - old.count
    WHERE connector_id = old.connector_id AND resource = old.resource;
END;

CREATE TRIGGER segment_added AFTER INSERT ON segment BEGIN
    INSERT INTO waiting (connector_id, resource, outbox_count, first_ms, accepted_ms)
    SELECT new.connector_id, key, value, new.accepted_ms, new.accepted_ms FROM json_each(new.counts) WHERE true
    ON CONFLICT DO UPDATE SET outbox_count = outbox_count + excluded.outbox_count,
        first_ms = COALESCE(first_ms, excluded.first_ms),
        accepted_ms = MAX(COALESCE(accepted_ms, 0), excluded.accepted_ms);
END;
CREATE TRIGGER segment_dropped AFTER UPDATE OF dropped ON segment WHEN old.dropped IS NULL AND new.dropped IS NOT NULL BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
END;
-- A segment that nobody gave up leaves the outbox because the other side has recorded it.
CREATE TRIGGER segment_settled AFTER DELETE ON segment WHEN old.dropped IS NULL BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value,
        applied_ms = MAX(COALESCE(applied_ms, 0), old.accepted_ms)
    FROM json_each(old.counts) AS counted WHERE connector_id = old.connector_id AND resource = counted.key;
END;

CREATE TRIGGER held_added AFTER INSERT ON held BEGIN
    INSERT INTO waiting (connector_id, resource, held_count) VALUES (new.connector_id, new.resource, new.count)
    ON CONFLICT DO UPDATE SET held_count = held_count + excluded.held_count;
END;
CREATE TRIGGER held_removed AFTER DELETE ON held BEGIN
    UPDATE waiting SET held_count = held_count - old.count
    WHERE connector_id = old.connector_id AND resource = old.resource;
END;
