"""Where a daemon listens and by which names it is reached: the settings, and the rule that nothing leaves this machine
in the clear.

A daemon listens on loopback. Elsewhere it wants TLS of its own, or a proxy that it is told to believe.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from shared.settings import SettingWrong, setting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # names what may be chosen, binds nothing
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ListenSettings:
    """How a daemon is reached; hub and site share these."""

    host: str = setting("127.0.0.1", "Address to listen on; anything but loopback wants TLS or a proxy")
    port: int = setting(0, "TCP port to listen on; 0 takes a free one", least=0, most=65_535)
    public_url: str = setting(
        "", "Address by which it is reached, with its base path where it has one; empty for its own"
    )
    allowed_hosts: str = setting(
        "", "Further names by which it may be called, separated by commas; `*.example.org` for all below"
    )
    tls_cert: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "PEM file of the certificate, with its chain; looked at again when it changes"
    )
    tls_key: Path | None = setting(  # noqa: RUF009  # makes a field
        None, "PEM file of the certificate's private key, without a passphrase"
    )
    tls_self_signed: bool = setting(
        False, "Make a certificate of its own, kept in the data directory and renewed by itself"
    )
    tls_names: str = setting(
        "", "Names and addresses in that certificate, separated by commas; empty for this machine's name"
    )
    behind_proxy: bool = setting(False, "A proxy stands before it and ends TLS; needs public_url")
    trusted_proxies: str = setting(
        "127.0.0.1, ::1", "Addresses or networks of proxies whose forwarded headers are believed, separated by commas"
    )
    forwarded_headers: Literal["x-forwarded", "forwarded"] = setting(
        "x-forwarded",
        "The headers that the proxy sets: X-Forwarded-For, -Proto and -Host, or Forwarded; the others are not believed",
    )


@dataclass(frozen=True, slots=True)
class Front:
    """How a daemon is reached, worked out from its settings.

    `public_url` has no slash at its end; `base_path` is its path, empty for none; `hosts` are lower-case names, some
    with a leading `*.`.
    """

    public_url: str = ""
    base_path: str = ""
    public_host: str = ""
    hosts: frozenset[str] = _LOOPBACK_NAMES
    trusted: tuple[Network, ...] = ()
    behind_proxy: bool = False
    has_tls: bool = False
    forwarded_headers: str = "x-forwarded"

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it by https, whatever arrives here."""
        return self.public_url.startswith("https:")

    def trusts(self, address: Address | None) -> bool:
        """Tell whether what this peer says about others is believed."""
        return self.behind_proxy and address is not None and any(address in network for network in self.trusted)

    def answers_to(self, host: str, certified: Iterable[str] = ()) -> bool:
        """Tell whether a `Host` header names this daemon; `certified` are the names in its certificate.

        A page of another origin whose name was made to point here (DNS rebinding) has a foreign name; an address
        cannot be made to point elsewhere, so every address will do.
        """
        name = host_name(host)
        if name in self.hosts or address_of(name) is not None:
            return True
        known = {*self.hosts, *(each.lower() for each in certified)}
        return name in known or any(each.startswith("*.") and name.endswith(each[1:]) for each in known)


def front_of(settings: ListenSettings) -> Front:
    """Check the settings together and work out the front; raises SettingWrong where they would leave a door open."""
    public = _public_url(settings.public_url)
    has_tls = settings.tls_cert is not None or settings.tls_self_signed
    _check_tls(settings)
    trusted = tuple(_network(word) for word in words(settings.trusted_proxies))
    if settings.behind_proxy and public is None:
        raise SettingWrong(
            "public_url", "with behind_proxy", "behind a proxy it has to be said, such as https://example.org"
        )
    if not has_tls and not is_loopback(settings.host):
        _check_proxied(settings, trusted)
    hosts = {*_LOOPBACK_NAMES, *words(settings.allowed_hosts.lower()), *words(settings.tls_names.lower())}
    hosts |= {settings.host.lower()} - _EVERYWHERE
    if settings.tls_self_signed:
        hosts |= {socket.gethostname().lower()}
    if public is not None:
        hosts |= {(public.hostname or "").lower()}
    return Front(
        public_url="" if public is None else public.geturl(),
        base_path="" if public is None else public.path,
        public_host="" if public is None else public.netloc,
        hosts=frozenset(hosts),
        trusted=trusted,
        behind_proxy=settings.behind_proxy,
        has_tls=has_tls,
        forwarded_headers=settings.forwarded_headers,
    )


def certificate_names(settings: ListenSettings) -> tuple[str, ...]:
    """Return the names and addresses that a self-made certificate carries, sorted."""
    public = _public_url(settings.public_url)
    names = {*_LOOPBACK_NAMES, *(words(settings.tls_names) or (socket.gethostname(),))}
    names |= {settings.host} - _EVERYWHERE
    if public is not None and public.hostname:
        names.add(public.hostname)
    return tuple(sorted(names))


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address to listen on."""
    address = address_of(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def address_of(text: str) -> Address | None:
    """Return an IP address, or None for anything else. IPv4 within IPv6 counts as IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def host_name(host: str) -> str:
    """Return the name in a `Host` header or an authority: lower case, without port, brackets and last dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def words(text: str) -> tuple[str, ...]:
    """Return the parts of a list separated by commas or spaces."""
    return tuple(text.replace(",", " ").split())


def _check_tls(settings: ListenSettings) -> None:
    if settings.tls_cert is not None and settings.tls_self_signed:
        raise SettingWrong("tls_self_signed", "with tls_cert", "choose one: a certificate of yours or a self-made one")
    for given, name, missing in (
        (settings.tls_cert, "tls_key", settings.tls_key),
        (settings.tls_key, "tls_cert", settings.tls_cert),
    ):
        if given is not None and missing is None:
            raise SettingWrong(name, "missing", "tls_cert and tls_key go together")


def _check_proxied(settings: ListenSettings, trusted: tuple[Network, ...]) -> None:
    if not settings.behind_proxy:
        raise SettingWrong(
            "host",
            settings.host or "empty",
            "beyond this machine nothing is served in the clear; set tls_cert and tls_key, or tls_self_signed = true, "
            "or behind_proxy = true with trusted_proxies and public_url, or listen on 127.0.0.1",
        )
    if all(network.is_loopback for network in trusted):
        raise SettingWrong(
            "trusted_proxies",
            settings.trusted_proxies or "empty",
            f"only proxies on this machine are trusted, yet it listens on {settings.host}; "
            "name the proxy's address, or listen on 127.0.0.1",
        )


def _public_url(text: str) -> SplitResult | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingWrong("public_url", text, f"this is no address: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise SettingWrong("public_url", text, "it has to be an address such as https://example.org/pairhub")
    if parts.query or parts.fragment or parts.username is not None:
        raise SettingWrong("public_url", text, "it takes scheme, name, port and path only")
    path = parts.path.rstrip("/")
    if any(part in {"", ".", ".."} for part in path.split("/")[1:]) or set(path) & set('"<>\\%?# '):
        raise SettingWrong("public_url", text, "its path is made of plain words between slashes")
    return parts._replace(path=path)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise SettingWrong(
            "trusted_proxies", text, "each has to be an address or a network such as 10.0.0.0/8"
        ) from error
