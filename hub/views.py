"""Makes the contexts of the operator's page from the hub's state."""

from __future__ import annotations

import shlex
from importlib.metadata import version

from hub.blocked import BlockedReport, Door
from hub.hub import Hub
from hub.listing import Look, Rows, Wanted, look
from hub.report import TokenReport
from hub.store.rows import AuditRow
from shared.limits import AUDIT_ROWS_MAX, OPERATOR_ROWS_MAX
from shared.names import fingerprint
from shared.served_certificate import CertificateStatus
from web import contexts as c
from web import paths

# On the operator's page; the rest of the audit has a page of its own, the rest of the attempts is in the API.
_AUDIT_ROWS_SHOWN = 8
_BLOCKED_ROWS_SHOWN = 20
_CARDS = {
    "sites": c.HubSites.element_id,
    "links": c.HubConnectors.element_id,
    "pairs": c.HubPairs.element_id,
}
_DOORS = {
    Door.LINK: "Link",
    Door.ENROLMENT: "Enrolment",
    Door.PAIRING: "Pairing",
    Door.LOG_IN: "Log-in",
    Door.API: "API",
}


class Views:
    """Turns one look at the hub into the fragments of the operator's page."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def shell(
        self,
        user_name: str,
        *,
        updates_url: str | None,
        toasts: c.Toasts,
        section: c.Section = c.Section.OPERATOR,
    ) -> c.Shell:
        """The frame around a page."""
        return c.Shell(
            c.Place.HUB,
            self._hub.settings.hub_name,
            version("pairhub"),
            section,
            user_name,
            updates_url=updates_url,
            toasts=toasts,
        )

    async def operator_page(
        self,
        shell: c.Shell,
        wanted: Wanted,
        *,
        new: c.NewEnrolmentToken | None = None,
        site_name: str = "",
        errors: c.Errors | None = None,
    ) -> c.OperatorPage:
        """The whole page, with what the form of the tokens brought about. Raises StorageFailed."""
        hub, found = self._hub, await look(self._hub, wanted)
        certificate = None if hub.certificate is None else hub.certificate.status(hub.wall_ms())
        return c.OperatorPage(
            shell,
            c.HubSearch(wanted.search, wanted.only_trouble),
            self._figures(found),
            _tokens(found.tokens, new, site_name, errors or {}),
            self._sites(found, wanted),
            self._connectors(found, wanted),
            _windows(found),
            self._pairs(found, wanted),
            _blocked(found.blocked),
            await self._last_audit(),
            _certificate(certificate),
            self._repairs(),
            self._notices(),
        )

    async def fragments(self, wanted: Wanted, *, with_tokens: bool) -> tuple[object, ...]:
        """The parts of the page that change by themselves. Raises StorageFailed."""
        found = await look(self._hub, wanted)
        parts = (
            self._repairs(),
            self._figures(found),
            self._sites(found, wanted),
            self._connectors(found, wanted),
            _windows(found),
            self._pairs(found, wanted),
            _blocked(found.blocked),
            await self._last_audit(),
            self._notices(),
        )
        return (*parts, _tokens(found.tokens)) if with_tokens else parts

    async def audit_page(self, shell: c.Shell, before: int | None) -> c.HubAuditPage:
        """One page of the audit: the newest entries, or those with a number below `before`. Raises StorageFailed."""
        rows = await self._hub.store.audit(rows_max=AUDIT_ROWS_MAX + 1, before=before)
        shown = rows[:AUDIT_ROWS_MAX]
        next_url = f"{paths.OPERATOR_AUDIT}?before={shown[-1].number}" if len(rows) > AUDIT_ROWS_MAX else None
        first_url = paths.OPERATOR_AUDIT if before is not None else None
        return c.HubAuditPage(shell, c.HubAudit(tuple(map(_audit, shown)), first_url=first_url, next_url=next_url))

    async def _last_audit(self) -> c.HubAudit:
        rows = await self._hub.store.audit(rows_max=_AUDIT_ROWS_SHOWN)
        return c.HubAudit(tuple(map(_audit, rows)), all_url=paths.OPERATOR_AUDIT)

    def new_token(self, secret: str, site_name: str, expires_ms: int, address: str) -> c.NewEnrolmentToken:
        """A token just made, and what to type with it."""
        words = ("--site-name", site_name, "--hub-url", address, "--enrolment-token", secret)
        command = shlex.join(("pairhub", "site", "serve", *words))
        return c.NewEnrolmentToken(secret, site_name, expires_ms, command)

    def _repairs(self) -> c.RepairsCard:
        found = self._hub.repairs.open()
        return c.RepairsCard(
            tuple(
                c.Repair(
                    repair.title,
                    repair.cause,
                    since_ms=repair.since_ms,
                    is_urgent=repair.is_urgent,
                    means=repair.means,
                    fix=repair.fix,
                )
                for repair in found
            ),
            is_wide=True,
        )

    def _notices(self) -> c.NoticesCard:
        channels = tuple(
            c.NoticeChannel(each.channel, each.waiting, each.lost, each.problem, each.delivered_ms, each.failed_ms)
            for each in self._hub.repairs.channels()
        )
        return c.NoticesCard(channels, self._hub.settings.notices_after_s, place=c.Place.HUB)

    def _figures(self, found: Look) -> c.HubFigures:
        totals = found.totals
        return c.HubFigures(
            found.sites.total_count,
            found.linked_sites_count,
            found.links_count,
            found.pairs.total_count,
            totals.copies,
            totals.copy_bytes,
            totals.copy_bytes_max,
            _age_s(totals.oldest_ms, found.time_ms),
            totals.relayed_bytes_per_s,
            totals.relayed_segments_per_s,
            totals.database_bytes,
            totals.disk_free_bytes,
            found.started_ms,
        )

    def _sites(self, found: Look, wanted: Wanted) -> c.HubSites:
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
                    site.protocol,
                )
                for site in found.sites.rows
            ),
            _pager(found.sites, wanted, "sites"),
        )

    def _connectors(self, found: Look, wanted: Wanted) -> c.HubConnectors:
        return c.HubConnectors(
            tuple(
                c.HubConnector(
                    each.site_name,
                    each.connector_id,
                    c.Role(each.role),
                    each.linked,
                    each.address,
                    each.linked_since_ms,
                    each.protocol,
                )
                for each in found.connectors.rows
            ),
            _pager(found.connectors, wanted, "links"),
        )

    def _pairs(self, found: Look, wanted: Wanted) -> c.HubPairs:
        return c.HubPairs(
            tuple(
                c.HubPair(
                    pair.pair_id,
                    pair.source_site,
                    pair.source_connector,
                    pair.target_site,
                    pair.target_connector,
                    pair.registered_ms,
                    pair.source_linked,
                    pair.target_linked,
                    pair.copies,
                    pair.copy_bytes,
                    _age_s(pair.oldest_ms, found.time_ms),
                    pair.relayed_bytes_per_s,
                    pair.relayed_segments_per_s,
                )
                for pair in found.pairs.rows
            ),
            _pager(found.pairs, wanted, "pairs"),
        )


def _pager(rows: Rows[object], wanted: Wanted, name: str) -> c.HubPager:
    """Links to other pages of one list leave the other lists where they are, and lead to its card."""

    def url(key: str) -> str:
        return f"{paths.OPERATOR}{wanted.query(**{name: key})}#{_CARDS[name]}"

    return c.HubPager(
        rows.matches_count,
        rows.total_count,
        wanted.is_narrowed,
        url("") if getattr(wanted, name) else None,
        url(rows.next_key) if rows.next_key is not None else None,
    )


def _windows(found: Look) -> c.HubWindows:
    shown = found.windows[:OPERATOR_ROWS_MAX]
    return c.HubWindows(
        tuple(
            c.HubWindow(window.site_name, window.connector_id, window.opened_ms, window.expires_ms, window.claimed)
            for window in shown
        ),
        len(found.windows) - len(shown),
    )


def _blocked(found: BlockedReport) -> c.HubBlocked:
    return c.HubBlocked(
        found.since_ms,
        found.total,
        tuple(c.BlockedKind(_DOORS[Door(k.door)], _words(k.reason), k.count, k.last_ms) for k in found.counts),
        tuple(
            c.BlockedFrom(_DOORS[Door(one.door)], _words(one.reason), one.address, one.who, one.times, one.at_ms)
            for one in found.last[:_BLOCKED_ROWS_SHOWN]
        ),
    )


def _words(reason: str) -> str:
    return reason.replace("_", " ")


def _audit(row: AuditRow) -> c.AuditEntry:
    return c.AuditEntry(row.number, row.at_ms, row.who, row.where, row.action, row.what)


def _age_s(at_ms: int | None, now_ms: int) -> float | None:
    return None if at_ms is None else max(0, now_ms - at_ms) / 1000


def _certificate(found: CertificateStatus | None) -> c.HubCertificate | None:
    if found is None:
        return None
    return c.HubCertificate(tuple(found.names), found.ends_ms, found.fingerprint, found.self_signed, found.warning)


def _tokens(
    found: list[TokenReport],
    new: c.NewEnrolmentToken | None = None,
    site_name: str = "",
    errors: c.Errors | None = None,
) -> c.HubTokens:
    shown = tuple(
        c.EnrolmentToken(token.token_id, token.hint, token.site_name, token.created_ms, token.expires_ms, token.used_ms)
        for token in found[:OPERATOR_ROWS_MAX]
    )
    return c.HubTokens(shown, len(found) - len(shown), new, site_name, errors or {})
