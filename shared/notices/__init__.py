"""Telling people outside: what a notice says, and the two ways out, a webhook and e-mail.

Here belongs how one notice goes to one place. When one is due, what waits and what is tried again is the daemon's.
"""
