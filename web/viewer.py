"""Who looks at a page, as far as it changes how the page looks: time zone, theme, and the moment."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection

from web.front_door import BASE_PATH_KEY

ZONE_COOKIE = "tz"
THEME_COOKIE = "theme"


class Theme(StrEnum):
    """The colours that the user chose; SYSTEM follows the system's choice."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The zone for times, the theme, `now_ms`, against which ages are told, and the base path before addresses."""

    now_ms: int
    zone: tzinfo = UTC
    theme: Theme = Theme.SYSTEM
    base_path: str = ""

    @classmethod
    def of(cls, connection: HTTPConnection, now_ms: int) -> "Viewer":
        """Read zone and theme from the cookies of a request; what is missing or strange becomes UTC and SYSTEM."""
        zone = zone_named(connection.cookies.get(ZONE_COOKIE, ""))
        theme = theme_named(connection.cookies.get(THEME_COOKIE, ""))
        return cls(now_ms, zone, theme, connection.scope.get(BASE_PATH_KEY, ""))


def zone_named(name: str) -> tzinfo:
    """Return the IANA zone of that name, or UTC where this machine does not know it."""
    if not name or len(name) > 64:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # the name comes from a cookie: any text, any path
        return UTC


def theme_named(name: str) -> Theme:
    """Return the theme of that name, or SYSTEM."""
    try:
        return Theme(name)
    except ValueError:
        return Theme.SYSTEM
