-- Gap notices by what they name, so that a resource's gaps are found among any number of notices. `named` counts the rows
-- in gap_row; -1 until a start of the daemon has read the notice (connector.gaps.index_notices).
ALTER TABLE gap ADD COLUMN named INTEGER NOT NULL DEFAULT -1;
ALTER TABLE gap ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE gap ADD COLUMN count INTEGER; -- NULL: nobody can count
ALTER TABLE gap ADD COLUMN first_ms INTEGER NOT NULL DEFAULT 0; -- of the readings' own times
ALTER TABLE gap ADD COLUMN last_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX gap_by_time ON gap (connector_id, noticed_ms DESC, gap_id);
CREATE INDEX gap_unnamed ON gap (connector_id, last_ms) WHERE named <= 0;

CREATE TABLE gap_row (
    connector_id TEXT NOT NULL,
    gap_id TEXT NOT NULL,
    device TEXT NOT NULL, -- '': of several
    resource TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, gap_id, resource, device),
    FOREIGN KEY (connector_id, gap_id) REFERENCES gap ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX gap_row_by_series ON gap_row (connector_id, resource, device, last_ms);

-- Segments ever sealed, in readings and bytes: what a reading takes in the outbox.
ALTER TABLE stream ADD COLUMN sealed_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN sealed_bytes INTEGER NOT NULL DEFAULT 0;
