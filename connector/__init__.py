"""The daemon of a site: link, devices, resources, outbox, inbox, lookups, ingest and pages. Never imports hub."""
