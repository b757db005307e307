"""End to end: real daemons as processes, real sockets, `kill -9`, cut networks, lost disks.

A test says what a person or a program at a site would see; it never looks into a daemon's memory, and only where a
disk is the subject, into its files.
"""
