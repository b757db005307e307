"""Starts hub and sites as a user would and talks to them through their public surface only: for demo, bench and tests.

Imports nothing of hub, connector or web: daemons are processes, their APIs are HTTP.
"""
