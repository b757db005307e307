"""How any page looks: templates, static files, rendering, sessions, CSRF and headers. No rules of hub or connector."""
