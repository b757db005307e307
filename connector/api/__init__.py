"""The HTTP API of a site, under /api/v1 (docs/api.md): what the pages can do, for programs.

Here belongs what turns requests into calls of the site and its answers into JSON: one module per topic, whose operations
stand in `registry`. Rules do not; they are the site's. Answers are JSON; a refusal is `{"code", "message", "facts"}` with
the status of shared.errors.REFUSALS.
"""

from connector.api.answers import answer, refusal
from connector.api.routing import api_routes

__all__ = ["answer", "api_routes", "refusal"]
