-- History that cannot be read any more (connector.history_damage): kept as it was, looked at by nobody.
CREATE TABLE damaged (
    row INTEGER PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    first_ms INTEGER NOT NULL, -- earliest reading that it held
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL, -- readings that it held
    series_id INTEGER, -- of which series, where it was of one
    series BLOB, -- else as in `recent`
    body BLOB NOT NULL
) STRICT;
