-- Repairs of this hub: what needs its operator, or needed one (shared.core.repairs). The two tables are as at a site, so
-- that shared.notices.rows serves both. They may be lost: what still holds is then raised and told once more.
CREATE TABLE repair (
    code TEXT NOT NULL,                   -- a row of shared.core.repair_kinds.REPAIRS
    scope TEXT NOT NULL,                  -- empty: the whole hub
    subject TEXT NOT NULL,                -- such as the channel of notices
    since_ms INTEGER NOT NULL,            -- ms since 1970
    facts TEXT NOT NULL,                  -- JSON object of text: the words that the kind's sentences name
    told INTEGER NOT NULL,                -- 1: people were told of it, or the notice waits
    cleared_ms INTEGER,                   -- ms since 1970; null while it is open
    PRIMARY KEY (code, scope, subject, since_ms)
) STRICT;
CREATE INDEX repair_by_end ON repair (cleared_ms);

-- Notices that wait for a webhook or a mail server; bounded by NOTICES_WAITING_MAX.
CREATE TABLE notice (
    channel TEXT NOT NULL,                -- webhook, e-mail
    notice_id TEXT NOT NULL,              -- the same at each attempt
    made_ms INTEGER NOT NULL,             -- ms since 1970
    body BLOB NOT NULL,                   -- JSON: shared.notices.notice.Notice
    PRIMARY KEY (channel, notice_id)
) STRICT, WITHOUT ROWID;
