-- When something in quarantine was last tried again; NULL: never. Lists of it go by its number.
ALTER TABLE quarantine ADD COLUMN tried_ms INTEGER;
CREATE INDEX quarantine_by_connector ON quarantine (connector_id, quarantine_id);
