-- Partings are bounded by the site that tells them: for a source that no hub knows, anybody can sign.
ALTER TABLE partings ADD COLUMN teller_site_id TEXT NOT NULL DEFAULT ''; -- UUID of the site that told it first
UPDATE partings SET teller_site_id = CASE WHEN told_by_source = 1 THEN source_site_id ELSE target_site_id END;
DROP INDEX partings_by_site;
CREATE INDEX partings_by_teller ON partings (teller_site_id, parted_ms);
