-- The number of what came into quarantine last. A number is given once: whoever discards what a page showed a while ago must
-- not discard another thing. (A table made anew with AUTOINCREMENT would copy all that is kept aside.)
CREATE TABLE quarantine_last (
    quarantine_id INTEGER NOT NULL
) STRICT;
INSERT INTO quarantine_last SELECT COALESCE(MAX(quarantine_id), 0) FROM quarantine;
CREATE TRIGGER quarantine_is_numbered AFTER INSERT ON quarantine BEGIN
    UPDATE quarantine SET quarantine_id = (SELECT quarantine_id + 1 FROM quarantine_last)
        WHERE quarantine_id = NEW.quarantine_id AND NEW.quarantine_id <= (SELECT quarantine_id FROM quarantine_last);
    UPDATE quarantine_last SET quarantine_id = MAX(quarantine_id + 1, NEW.quarantine_id);
END;
