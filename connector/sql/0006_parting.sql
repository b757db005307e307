-- What was said about parting a pair, asks on either side (shared.core.parting.PartingTalk); goes with the pair.
CREATE TABLE parting_talk (
    connector_id TEXT PRIMARY KEY REFERENCES connector ON DELETE CASCADE,
    state TEXT NOT NULL, -- shared.core.parting.PartState
    mine BLOB, -- MessagePack [part_id, signature, who, asked_ms]
    theirs BLOB, -- the same, of the other side
    flush INTEGER NOT NULL, -- 1: erase here what was replicated, once parted
    declined_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Pairs that this connector parted, with what others may still have to be shown.
CREATE TABLE parted (
    pair_id BLOB NOT NULL,
    side INTEGER NOT NULL, -- 0 source, 1 target: ours; both sides may be connectors of one site
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    certificate BLOB NOT NULL, -- of the pair
    parting BLOB NOT NULL, -- signed by both
    peer_site_name TEXT NOT NULL,
    peer_connector_id TEXT NOT NULL,
    state TEXT NOT NULL, -- shared.core.parting.PartState: agreed or parted
    told_hub INTEGER NOT NULL DEFAULT 0,
    flush INTEGER NOT NULL,
    parted_ms INTEGER NOT NULL,
    ledger BLOB NOT NULL, -- last account of the pair: shared.core.ledger.Ledger
    pending_edits INTEGER NOT NULL, -- edits of this side that the other never had
    PRIMARY KEY (pair_id, side)
) STRICT, WITHOUT ROWID;
CREATE INDEX parted_by_connector ON parted (connector_id, parted_ms);
