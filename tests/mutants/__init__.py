"""Proof of the proof: deliberate small bugs, each of which the simulation or a test of the core has to catch."""
