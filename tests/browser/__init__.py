"""The product as people meet it: real daemons, a real browser, and walks through the rows of the feature list.

Belongs here: what somebody sees and does. What only the API can tell is in tests/e2e, single pages are in tests/web.
"""
