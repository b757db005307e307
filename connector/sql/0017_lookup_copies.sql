-- Copies in the order in which they were kept: the newest stay, whatever the clock says. 0: kept by an earlier release.
ALTER TABLE lookup_copy ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
