-- What is to be folded is looked for many times a second, in every recent batch there is: hundreds of connectors have thousands.
DROP INDEX recent_by_level;
CREATE INDEX recent_by_level ON recent (connector_id, level, row, count);
