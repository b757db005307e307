"""The ground floor: what both ends must agree on. Imports nothing of ours."""
