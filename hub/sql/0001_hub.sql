-- What a hub keeps. All of it may be lost without loss of data: sites and pairs come back with their certificates, copies
-- are sent again by their origins.

-- Enrolled sites.
CREATE TABLE sites (
    site_id TEXT PRIMARY KEY,             -- UUID of the site, chosen by it, never changed
    site_name TEXT NOT NULL,              -- as people type it
    folded_name TEXT NOT NULL UNIQUE,     -- case-folded, so that no two names look alike but for case
    hub_key BLOB NOT NULL,                -- 32 bytes, Ed25519: proves the site to hubs
    identity_key BLOB NOT NULL,           -- 32 bytes, Ed25519: signs its pairings
    certificate BLOB NOT NULL,            -- packed enrolment, signed by this hub
    enrolled_ms INTEGER NOT NULL,         -- ms since 1970
    revoked_ms INTEGER                    -- ms since 1970; null while welcome
) STRICT, WITHOUT ROWID;

-- Enrolment tokens, each for one site name and one use.
CREATE TABLE tokens (
    token_id TEXT PRIMARY KEY,            -- random, for pages
    digest BLOB NOT NULL UNIQUE,          -- SHA-256 of the token; the token itself is shown once and not kept
    site_name TEXT NOT NULL,              -- the only name it enrols
    hint TEXT NOT NULL,                   -- a few characters to know it by
    created_ms INTEGER NOT NULL,          -- ms since 1970
    expires_ms INTEGER NOT NULL,          -- ms since 1970
    used_ms INTEGER                       -- ms since 1970; null while unused
) STRICT, WITHOUT ROWID;

-- Registered pairs.
CREATE TABLE pairs (
    pair INTEGER PRIMARY KEY,             -- short name of the pair in this file
    pair_id BLOB NOT NULL UNIQUE,         -- the pair's ID
    packed BLOB NOT NULL,                 -- the certificate as both sites signed it
    registered_ms INTEGER NOT NULL        -- ms since 1970
) STRICT;

-- The two ends of each pair. The key is what makes a connector belong to one pair only (G15).
CREATE TABLE pair_ends (
    site_id TEXT NOT NULL,                -- UUID of the site
    connector_id TEXT NOT NULL,           -- of the connector in it
    pair INTEGER NOT NULL REFERENCES pairs ON DELETE CASCADE,
    side INTEGER NOT NULL,                -- 0 source, 1 target
    PRIMARY KEY (site_id, connector_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pair_ends_by_pair ON pair_ends (pair);

-- Signed words of sources that gave a pair up; a target may ask long after.
CREATE TABLE dissolutions (
    pair_id BLOB NOT NULL,                -- the pair's ID
    source_site_id TEXT NOT NULL,         -- UUID of the site that signed
    packed BLOB NOT NULL,                 -- the dissolution with its signature
    dissolved_ms INTEGER NOT NULL,        -- ms since 1970
    PRIMARY KEY (pair_id, source_site_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX dissolutions_by_site ON dissolutions (source_site_id, dissolved_ms);

-- Sealed segments and control entries that wait for their destination. New rows go to the end of the table, whatever
-- their pair and (random) epoch; only the narrow index below is written in other places.
CREATE TABLE copies (
    place INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival; never used again, so that a reader cannot miss a row
    pair INTEGER NOT NULL REFERENCES pairs ON DELETE CASCADE,
    side INTEGER NOT NULL,                -- origin: 0 source, 1 target
    kind INTEGER NOT NULL,                -- 0 segment, 1 control entry
    epoch INTEGER NOT NULL,               -- 64 random bits, as a signed number
    number INTEGER NOT NULL,              -- in its epoch, from 1
    arrived_ms INTEGER NOT NULL,          -- ms since 1970, by the hub's clock
    header BLOB NOT NULL,                 -- packed header, readable
    body BLOB NOT NULL                    -- sealed body, not readable here
) STRICT;
CREATE UNIQUE INDEX copies_by_number ON copies (pair, side, kind, epoch, number);
CREATE INDEX copies_by_place ON copies (pair, side, kind, place);

-- How much waits, kept up by the triggers below, so that caps and pages need not count.
CREATE TABLE backlogs (
    pair INTEGER NOT NULL REFERENCES pairs ON DELETE CASCADE,
    side INTEGER NOT NULL,                -- origin: 0 source, 1 target
    copies_count INTEGER NOT NULL,        -- rows in copies
    body_bytes INTEGER NOT NULL,          -- sum of their sealed bodies, in bytes
    PRIMARY KEY (pair, side)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER copies_inserted AFTER INSERT ON copies BEGIN
    INSERT INTO backlogs (pair, side, copies_count, body_bytes) VALUES (new.pair, new.side, 1, length(new.body))
    ON CONFLICT DO UPDATE SET copies_count = copies_count + 1, body_bytes = body_bytes + length(new.body);
END;

CREATE TRIGGER copies_updated AFTER UPDATE OF body ON copies BEGIN
    UPDATE backlogs SET body_bytes = body_bytes - length(old.body) + length(new.body)
    WHERE pair = new.pair AND side = new.side;
END;

CREATE TRIGGER copies_deleted AFTER DELETE ON copies BEGIN
    UPDATE backlogs SET copies_count = copies_count - 1, body_bytes = body_bytes - length(old.body)
    WHERE pair = old.pair AND side = old.side;
END;

-- People who operate this hub.
CREATE TABLE users (
    user_name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,          -- argon2id, encoded
    created_ms INTEGER NOT NULL           -- ms since 1970
) STRICT, WITHOUT ROWID;

-- Their log-ins.
CREATE TABLE sessions (
    id_hash BLOB PRIMARY KEY,             -- SHA-256 of the session ID, which only the browser has
    user_name TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,          -- ms since 1970
    used_ms INTEGER NOT NULL,             -- ms since 1970, to the minute
    address TEXT NOT NULL,                -- network address of the log-in
    user_agent TEXT NOT NULL              -- what the browser calls itself
) STRICT, WITHOUT ROWID;

-- What operators did; append-only, each row chained to the one before.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,           -- from 1, without holes
    at_ms INTEGER NOT NULL,               -- ms since 1970
    who TEXT NOT NULL,                    -- user name, or the program
    place TEXT NOT NULL,                  -- network address
    action TEXT NOT NULL,                 -- such as site.revoke
    what TEXT NOT NULL,                   -- the object and the reason, in words
    chain BLOB NOT NULL                   -- SHA-256 over the row before and this one
) STRICT;
