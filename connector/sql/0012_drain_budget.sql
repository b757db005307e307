-- What a backlog of this connector may take of the link, bytes per second; 0: no bound; NULL: as the site's setting says.
ALTER TABLE connector ADD COLUMN drain_bytes_per_s INTEGER;
