"""The hub's state as its operator sees it: one snapshot for pages and API."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

import msgspec

from hub.hub import Hub
from hub.store.rows import Backlog
from shared.certificates import PairCertificate
from shared.sealing import Side
from shared.served_certificate import CertificateStatus


class SiteReport(msgspec.Struct, frozen=True):
    """An enrolled site."""

    site_id: str
    site_name: str
    enrolled_ms: int
    revoked: bool
    links: int
    last_seen_ms: int | None


class ConnectorReport(msgspec.Struct, frozen=True):
    """A linked connector, or one of a pair that is not linked."""

    site_id: str
    site_name: str
    connector_id: str
    role: str
    linked: bool
    linked_since_ms: int | None = None
    address: str = ""


class WindowReport(msgspec.Struct, frozen=True):
    """An open pairing window."""

    site_name: str
    connector_id: str
    opened_ms: int
    expires_ms: int
    claimed: bool


class PairReport(msgspec.Struct, frozen=True):
    """A registered pair and what waits for its two sides."""

    pair_id: str
    source_site: str
    source_connector: str
    target_site: str
    target_connector: str
    registered_ms: int
    source_linked: bool
    target_linked: bool
    copies: int
    copy_bytes: int
    oldest_ms: int | None
    relayed_bytes: int


class HubReport(msgspec.Struct, frozen=True):
    """All of it."""

    hub: str
    version: str
    hub_key: str
    time_ms: int
    open_enrolment: bool
    sites: list[SiteReport]
    connectors: list[ConnectorReport]
    windows: list[WindowReport]
    pairs: list[PairReport]
    certificate: CertificateStatus | None = None


async def report(hub: Hub) -> HubReport:
    """Take a snapshot; raises StorageFailed."""
    stored = await hub.store.pairs()
    waiting: dict[bytes, list[Backlog]] = {}
    for backlog in await hub.store.backlogs():
        waiting.setdefault(backlog.pair_id, []).append(backlog)
    pairs = [_pair(hub, pair.certificate, pair.registered_ms, waiting.get(pair.pair_id, ())) for pair in stored]
    return HubReport(
        hub.settings.hub_name,
        version("pairhub"),
        hub.hub_key.hex(),
        hub.wall_ms(),
        hub.settings.open_enrolment,
        _sites(hub),
        _connectors(hub, [pair.certificate for pair in stored]),
        _windows(hub),
        pairs,
        None if hub.certificate is None else hub.certificate.status(hub.wall_ms()),
    )


def _sites(hub: Hub) -> list[SiteReport]:
    links: dict[str, int] = {}
    for site_id, _ in hub.links:
        links[site_id] = links.get(site_id, 0) + 1
    return [
        SiteReport(
            site.site_id,
            site.site_name,
            site.enrolled_ms,
            site.revoked_ms is not None,
            links.get(site.site_id, 0),
            hub.last_seen_ms.get(site.site_id),
        )
        for site in sorted(hub.sites.values(), key=lambda site: site.site_name)
    ]


def _connectors(hub: Hub, pairs: Iterable[PairCertificate]) -> list[ConnectorReport]:
    roles = {(link.connector[0], link.site_name, link.connector[1]): "standalone" for link in hub.links.values()}
    for certificate in pairs:
        for party, side in ((certificate.source, Side.SOURCE), (certificate.target, Side.TARGET)):
            roles[party.site_id, party.site_name, party.connector_id] = side.word
    rows = []
    for (site_id, site_name, connector_id), role in sorted(roles.items(), key=lambda item: item[0][1:]):
        link = hub.links.get((site_id, connector_id))
        rows.append(
            ConnectorReport(site_id, site_name, connector_id, role, False)
            if link is None
            else ConnectorReport(site_id, site_name, connector_id, role, True, link.opened_ms, link.address)
        )
    return rows


def _windows(hub: Hub) -> list[WindowReport]:
    offset_ms = hub.wall_ms() - hub.now_ms()
    return [
        WindowReport(
            window.site_name,
            window.source[1],
            window.opened_ms + offset_ms,
            window.expires_ms + offset_ms,
            hub.registry.is_claimed(window),
        )
        for window in hub.registry.windows(hub.now_ms())
    ]


def _pair(hub: Hub, certificate: PairCertificate, registered_ms: int, waiting: Iterable[Backlog]) -> PairReport:
    runner = hub.pairs.runners.get(certificate.pair_id)
    waiting = list(waiting)
    source, target = certificate.source, certificate.target
    return PairReport(
        certificate.pair_id.hex(),
        source.site_name,
        source.connector_id,
        target.site_name,
        target.connector_id,
        registered_ms,
        (source.site_id, source.connector_id) in hub.links,
        (target.site_id, target.connector_id) in hub.links,
        sum(backlog.copies_count for backlog in waiting),
        sum(backlog.body_bytes for backlog in waiting),
        min((backlog.oldest_ms for backlog in waiting if backlog.oldest_ms is not None), default=None),
        sum(stream.relayed_bytes for stream in runner.relay.streams.values()) if runner is not None else 0,
    )
