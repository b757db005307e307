-- What the disk damaged of a row's `counts` stops no one: who takes such a row out mends them before (connector.outbox_rows),
-- and what goes with all of its connector needs none.
DROP TRIGGER tail_removed;
CREATE TRIGGER tail_removed AFTER DELETE ON tail WHEN json_valid(old.counts) BEGIN
    UPDATE waiting SET tail_count = tail_count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
END;

DROP TRIGGER segment_dropped;
CREATE TRIGGER segment_dropped AFTER UPDATE OF dropped ON segment
WHEN old.dropped IS NULL AND new.dropped IS NOT NULL AND json_valid(old.counts) BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
    INSERT INTO resource_dropped (connector_id, resource, cause, count)
    SELECT old.connector_id, key, new.dropped, value FROM json_each(old.counts) WHERE true
    ON CONFLICT DO UPDATE SET count = count + excluded.count;
END;
DROP TRIGGER segment_undropped;
CREATE TRIGGER segment_undropped AFTER UPDATE OF dropped ON segment
WHEN old.dropped IS NOT NULL AND new.dropped IS NULL AND json_valid(old.counts) BEGIN
    UPDATE waiting SET outbox_count = outbox_count + counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key;
    UPDATE resource_dropped SET count = count - counted.value FROM json_each(old.counts) AS counted
    WHERE connector_id = old.connector_id AND resource = counted.key AND cause = old.dropped;
END;
DROP TRIGGER segment_settled;
CREATE TRIGGER segment_settled AFTER DELETE ON segment WHEN old.dropped IS NULL AND json_valid(old.counts) BEGIN
    UPDATE waiting SET outbox_count = outbox_count - counted.value, recorded_count = recorded_count + counted.value,
        applied_ms = MAX(COALESCE(applied_ms, 0), old.accepted_ms)
    FROM json_each(old.counts) AS counted WHERE connector_id = old.connector_id AND resource = counted.key;
END;
