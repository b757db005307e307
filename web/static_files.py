"""Serve our styles, scripts and icons, and the vendored ones, with addresses that change with their contents."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from web import paths

STATIC_FOLDER = Path(__file__).parent / "static"
_YEAR_S = 365 * 24 * 3600


@cache
def url(name: str) -> str:
    """Return the address of a static file, with a digest of its contents; `FileNotFoundError` where there is none."""
    digest = hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"{paths.STATIC}/{name}?v={digest}"


class _CachedFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        # Modules import each other without a digest, so those must ask each time whether they changed.
        named = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if named else "no-cache"
        return response


def static_mount() -> Mount:
    """Return the route that serves all static files."""
    return Mount(paths.STATIC, _CachedFiles(directory=STATIC_FOLDER), name="static")
