"""Tests of the hub: its pure relay and registry, its stores, and the whole over real sockets."""
