-- Repairs: what needs a person, or needed one (shared.core.repairs). Open ones survive a restart and are not told again.
CREATE TABLE repair (
    code TEXT NOT NULL, -- a row of shared.core.repair_kinds.REPAIRS
    scope TEXT NOT NULL, -- connector ID, or empty for the whole site
    subject TEXT NOT NULL, -- such as the alias of a resource
    since_ms INTEGER NOT NULL,
    facts TEXT NOT NULL, -- JSON object of text: the words that the kind's sentences name
    told INTEGER NOT NULL, -- 1: people were told of it, or the notice waits
    cleared_ms INTEGER, -- NULL: open
    PRIMARY KEY (code, scope, subject, since_ms)
) STRICT;
CREATE INDEX repair_by_end ON repair (cleared_ms);

-- Notices that wait for a webhook or a mail server (shared.notices); bounded by NOTICES_WAITING_MAX.
CREATE TABLE notice (
    channel TEXT NOT NULL, -- webhook, e-mail
    notice_id TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    body BLOB NOT NULL, -- JSON: shared.notices.notice.Notice
    PRIMARY KEY (channel, notice_id)
) STRICT, WITHOUT ROWID;
