-- A notice is corrected where readings that it named arrived after all.
ALTER TABLE gap ADD COLUMN taken_back INTEGER NOT NULL DEFAULT 0; -- readings that it named before, and names no longer
-- Of a segment that was given up: which part of which notice it is (shared.core.gap_shares.GapShare). NULL: of none.
ALTER TABLE segment ADD COLUMN gap_share BLOB;
