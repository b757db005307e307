"""Makes the contexts of the operator's page from the hub's state."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from importlib.metadata import version

from hub.hub import Hub
from hub.report import HubReport, PairReport, report
from hub.store.rows import Token
from shared.names import fingerprint
from shared.served_certificate import CertificateStatus
from web import contexts as c
from web import paths

_RATE_EVERY_S = 2.0


class Views:
    """Turns one report into the fragments of the operator's page. Remembers what rates need."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._rates: dict[str, tuple[float, int, float]] = {}

    def shell(self, user_name: str, *, updates_url: str | None, toasts: c.Toasts) -> c.Shell:
        """The frame around the page."""
        return c.Shell(
            c.Place.HUB,
            self._hub.settings.hub_name,
            version("pairhub"),
            c.Section.OPERATOR,
            user_name,
            updates_url=updates_url,
            toasts=toasts,
        )

    async def operator_page(self, shell: c.Shell, tokens: c.HubTokens | None = None) -> c.OperatorPage:
        """The whole page; `tokens` takes the place of the plain list. Raises StorageFailed."""
        found = await report(self._hub)
        return c.OperatorPage(
            shell,
            tokens or await self.tokens(),
            self._sites(found),
            self._connectors(found),
            self._windows(found),
            self._pairs(found),
            _certificate(found.certificate),
        )

    async def fragments(self, *, with_tokens: bool) -> tuple[object, ...]:
        """The parts of the page that change by themselves. Raises StorageFailed."""
        found = await report(self._hub)
        parts = (self._sites(found), self._connectors(found), self._windows(found), self._pairs(found))
        return (*parts, await self.tokens()) if with_tokens else parts

    async def tokens(
        self, *, new: c.NewEnrolmentToken | None = None, site_name: str = "", errors: c.Errors | None = None
    ) -> c.HubTokens:
        """The enrolment tokens, with what a form brought about."""
        stored = await self._hub.store.tokens(now_ms=self._hub.wall_ms())
        return c.HubTokens(tuple(map(_token, stored)), new, site_name, errors or {})

    def new_token(self, secret: str, site_name: str, expires_ms: int, address: str) -> c.NewEnrolmentToken:
        """A token just made, and what to type with it."""
        words = ("--site-name", site_name, "--hub-url", address, "--enrolment-token", secret)
        command = shlex.join(("pairhub", "site", "serve", *words))
        return c.NewEnrolmentToken(secret, site_name, expires_ms, command)

    def _sites(self, found: HubReport) -> c.HubSites:
        return c.HubSites(
            tuple(
                c.HubSite(
                    site.site_id,
                    site.site_name,
                    fingerprint(self._hub.sites[site.site_id].identity_key) if site.site_id in self._hub.sites else "",
                    site.enrolled_ms,
                    site.last_seen_ms,
                    site.links,
                    site.revoked,
                )
                for site in found.sites
            )
        )

    def _connectors(self, found: HubReport) -> c.HubConnectors:
        return c.HubConnectors(
            tuple(
                c.HubConnector(
                    each.site_name,
                    each.connector_id,
                    c.Role(each.role),
                    c.LinkStatus(c.LinkState.CONNECTED if each.linked else c.LinkState.OFFLINE),
                    each.address,
                    each.linked_since_ms,
                )
                for each in found.connectors
            )
        )

    def _windows(self, found: HubReport) -> c.HubWindows:
        return c.HubWindows(
            tuple(
                c.HubWindow(window.site_name, window.connector_id, window.opened_ms, window.expires_ms)
                for window in found.windows
            )
        )

    def _pairs(self, found: HubReport) -> c.HubPairs:
        self._measure(found.pairs)
        return c.HubPairs(
            tuple(
                c.HubPair(
                    pair.pair_id,
                    pair.source_site,
                    pair.source_connector,
                    pair.target_site,
                    pair.target_connector,
                    pair.registered_ms,
                    pair.copies,
                    pair.copy_bytes,
                    None if pair.oldest_ms is None else max(0, found.time_ms - pair.oldest_ms) / 1000,
                    self._rates[pair.pair_id][2],
                )
                for pair in found.pairs
            )
        )

    def _measure(self, pairs: Iterable[PairReport]) -> None:
        now_s = time.monotonic()
        for pair in pairs:
            since_s, before, _ = self._rates.setdefault(pair.pair_id, (now_s, pair.relayed_bytes, 0.0))
            if now_s - since_s >= _RATE_EVERY_S:
                rate = max(0, pair.relayed_bytes - before) / (now_s - since_s)
                self._rates[pair.pair_id] = (now_s, pair.relayed_bytes, rate)


def _certificate(found: CertificateStatus | None) -> c.HubCertificate | None:
    if found is None:
        return None
    return c.HubCertificate(tuple(found.names), found.ends_ms, found.fingerprint, found.self_signed, found.warning)


def _token(token: Token) -> c.EnrolmentToken:
    return c.EnrolmentToken(
        token.token_id, token.hint, token.site_name, token.created_ms, token.expires_ms, token.used_ms
    )


OPERATOR_UPDATES_WITHOUT_TOKENS = paths.OPERATOR_UPDATES + "?tokens=0"
