-- Replays of a past range (N9): jobs, what of them is under way, and what arrived. All of it is outside the account.

-- A replay as this side knows it; the source decides, the target follows what it states.
CREATE TABLE replay (
    row INTEGER PRIMARY KEY AUTOINCREMENT, -- in order of asking
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL, -- shared.core.replay_job.ReplayState
    is_open INTEGER NOT NULL, -- 1: something is still to come
    ask BLOB NOT NULL, -- shared.core.replay_job.ReplayAsk
    figures BLOB NOT NULL, -- shared.core.replay_job.StatedReplay, of the destination
    reason TEXT NOT NULL, -- code of a refusal
    run INTEGER NOT NULL, -- counts how often it began, from 1: again where the destination was restored
    asked_count INTEGER NOT NULL, -- readings, an estimate until it is done
    sent_count INTEGER NOT NULL,
    left_out BLOB NOT NULL, -- MessagePack [[resource, code], ...]
    cursor_series INTEGER, -- at the source: where reading goes on; NULL when all is read
    cursor_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    UNIQUE (connector_id, job_id)
) STRICT;
CREATE INDEX replay_by_connector ON replay (connector_id, row);
CREATE INDEX replay_open ON replay (connector_id, row) WHERE is_open = 1;

-- At the source: sealed segments of replays without a word from the destination; a handful at most.
CREATE TABLE replay_segment (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    header BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX replay_segment_by_connector ON replay_segment (connector_id, row);

-- At the target: which segments of replays arrived; intervals are MessagePack [low, high, ...].
CREATE TABLE replay_epoch (
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    recorded BLOB NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (connector_id, epoch)
) STRICT, WITHOUT ROWID;
