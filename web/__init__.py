"""How any page looks, and how web requests are kept safe.

Belongs here: templates, their typed contexts, static files, rendering, live updates, sessions, CSRF and headers.
Must not be here: any rule of hub or connector. What a page shows is decided by whoever builds its context.
"""
