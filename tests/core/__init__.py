"""Tests of shared/core and of what both ends agree on: one module per machine."""
