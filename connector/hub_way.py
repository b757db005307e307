"""The way from a site to its hub: whom to trust, which proxy to use, and what went wrong, in words.

Nothing of it comes from the environment: a proxy that somebody once exported for a shell must not carry the link.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from shared.errors import LinkLost, Refused
from shared.host_names import is_host
from shared.settings import SettingWrong

_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
# OpenSSL's X509_V_ERR_*: what to do about each.
_TRUST: Final = {
    9: "it is not valid yet; is the clock of this machine or of the hub wrong?",
    10: "it has expired; the hub's operator has to renew it (or this machine's clock is wrong)",
    18: "it is signed by itself; copy the hub's ca.pem here and name it in hub_ca",
    19: "its authority is not known here; name the file of that authority's certificate in hub_ca",
    20: "its authority is not known here; name the file of that authority's certificate in hub_ca",
    21: "its authority is not known here; name the file of that authority's certificate in hub_ca",
    23: "it was revoked",
    47: "its authority may not speak for this name; the hub's tls_names have to contain it",
    62: "it is for another name than the one in hub_url; use a name that is in the certificate",
    64: "it is not for the address in hub_url; use a name or an address that is in the certificate",
}

# What OpenSSL calls an answer that is no TLS.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class HubWay:
    """How to reach the hub. `proxy` is empty for a direct way; `tls` is None where the address is not https."""

    url: str
    proxy: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def link_address(self) -> str:
        """The address as WebSockets want it."""
        return "ws" + self.url.removeprefix("http")

    def failure(self, error: BaseException) -> Refused | LinkLost:
        """Return what a failed connection means to people: a certificate needs somebody, the rest is tried again."""
        causes = tuple(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Refused("hub_not_trusted", why=_TRUST.get(cause.verify_code, cause.verify_message))
        for cause in causes:
            if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
                return LinkLost("the hub does not speak TLS at this address; does hub_url have to begin with http?")
        through = f" through {without_password(self.proxy)}" if self.proxy else ""
        return LinkLost(f"the hub cannot be reached{through}: {str(error) or type(error).__name__}")


def hub_way(url: str, ca: Path | None = None, proxy: str = "") -> HubWay:
    """Check what the settings say of the hub; raises SettingWrong.

    With `ca`, that authority and no other is trusted; without, those of this machine.
    """
    url = url.rstrip("/")
    parts = _split("hub_url", url)
    if parts.scheme not in ("http", "https") or not is_host(parts.hostname or "") or parts.query or parts.fragment:
        raise SettingWrong("hub_url", url, "it has to be an address such as https://hub.example")
    if proxy:
        way = _split("hub_proxy", proxy)
        if way.scheme not in _PROXY_SCHEMES or not is_host(way.hostname or "") or way.path not in ("", "/"):
            raise SettingWrong(
                "hub_proxy",
                without_password(proxy),
                f"it has to be an address such as http://proxy.example:3128; it may begin with {', '.join(_PROXY_SCHEMES)}",
            )
    return HubWay(url, proxy, _context(ca) if parts.scheme == "https" else None)


def without_password(url: str) -> str:
    """Return an address as it may be shown: without a user's name and password."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingWrong("hub_ca", str(ca), f"the file cannot be used: {why}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SettingWrong(name, without_password(url), f"this is no address: {error}") from error
    return parts


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
