-- Pairs that both sides parted on purpose; a side that was away hears of it when it presents the old pair.
CREATE TABLE partings (
    pair_id BLOB NOT NULL,                -- the pair's ID
    source_site_id TEXT NOT NULL,         -- UUID of its source's site
    target_site_id TEXT NOT NULL,         -- UUID of its target's site
    packed BLOB NOT NULL,                 -- the parting with both signatures
    told_by_source INTEGER NOT NULL,      -- 1: the source has said so itself
    told_by_target INTEGER NOT NULL,      -- 1: the target has
    parted_ms INTEGER NOT NULL,           -- ms since 1970
    PRIMARY KEY (pair_id, source_site_id, target_site_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX partings_by_site ON partings (source_site_id, parted_ms);
