"""Pairhub as people get it: built as a wheel, installed, started as its systemd units start it, on machines of their own."""
