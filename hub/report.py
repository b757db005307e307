"""The hub's state as its operator sees it: what pages, API and measures say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import msgspec

from hub.blocked import BlockedReport
from hub.hub import Hub
from hub.store.rows import Backlog, Pair, Site, Token
from hub.store.sqlite import DATABASE_NAME
from shared.certificates import PairCertificate, Party
from shared.core.registry import Connector
from shared.disk import disk_use
from shared.notices.desk import ChannelStatus
from shared.notices.repair_status import RepairStatus, repair_status
from shared.sealing import Side
from shared.served_certificate import CertificateStatus


class SiteReport(msgspec.Struct, frozen=True):
    """An enrolled site. `protocol` is the version that its links speak; None while it has none."""

    site_id: str
    site_name: str
    enrolled_ms: int
    revoked: bool
    links: int
    last_seen_ms: int | None
    protocol: int | None = None


class ConnectorReport(msgspec.Struct, frozen=True):
    """A linked connector, or one of a pair that is not linked."""

    site_id: str
    site_name: str
    connector_id: str
    role: str
    linked: bool
    linked_since_ms: int | None = None
    address: str = ""
    protocol: int | None = None


class WindowReport(msgspec.Struct, frozen=True):
    """An open pairing window."""

    site_name: str
    connector_id: str
    opened_ms: int
    expires_ms: int
    claimed: bool


class PairReport(msgspec.Struct, frozen=True):
    """A registered pair, what waits for its two sides, and what moves: means over the last minute."""

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
    relayed_segments: int
    relayed_bytes_per_s: float
    relayed_segments_per_s: float


class TokenReport(msgspec.Struct, frozen=True):
    """An enrolment token that has not expired: a hint of it, never itself."""

    token_id: str
    hint: str
    site_name: str
    created_ms: int
    expires_ms: int
    used_ms: int | None


class Totals(msgspec.Struct, frozen=True):
    """All pairs together, and the disk under the copies."""

    copies: int
    copy_bytes: int
    copy_bytes_max: int
    oldest_ms: int | None
    relayed_bytes_per_s: float
    relayed_segments_per_s: float
    database_bytes: int
    disk_free_bytes: int


class HubReport(msgspec.Struct, frozen=True):
    """All of it."""

    hub: str
    version: str
    hub_key: str
    time_ms: int
    started_ms: int
    open_enrolment: bool
    totals: Totals
    sites: list[SiteReport]
    connectors: list[ConnectorReport]
    windows: list[WindowReport]
    pairs: list[PairReport]
    tokens: list[TokenReport]
    blocked: BlockedReport
    certificate: CertificateStatus | None = None
    storage_problem: str = ""
    """Why no copies are kept; what is live is relayed all the same."""
    repairs: list[RepairStatus] = []
    notices: list[ChannelStatus] = []


Waiting = Mapping[bytes, list[Backlog]]
"""What waits, by pair ID."""


async def report(hub: Hub) -> HubReport:
    """Take a snapshot of everything; raises StorageFailed. For long lists, piece by piece, see `hub.listing`."""
    stored = await hub.store.pairs()
    waiting = await waiting_copies(hub)
    versions = versions_of_sites(hub)
    return HubReport(
        hub.settings.hub_name,
        version("pairhub"),
        hub.hub_key.hex(),
        hub.wall_ms(),
        hub.started_ms,
        hub.settings.open_enrolment,
        await totals(hub, waiting),
        [site_report(hub, site, versions) for site in sorted(hub.sites.values(), key=lambda site: site.site_name)],
        [connector_report(hub, *each) for each in sorted(connectors(hub, stored), key=lambda each: each[0][1:])],
        windows(hub),
        [pair_report(hub, pair, waiting) for pair in stored],
        await tokens(hub),
        hub.blocked.report(),
        None if hub.certificate is None else hub.certificate.status(hub.wall_ms()),
        hub.store.figures().problem,
        [repair_status(repair) for repair in hub.repairs.open()],
        hub.repairs.channels(),
    )


async def waiting_copies(hub: Hub) -> Waiting:
    """Return what waits on the disk; raises StorageFailed."""
    waiting: dict[bytes, list[Backlog]] = {}
    for backlog in await hub.store.backlogs():
        waiting.setdefault(backlog.pair_id, []).append(backlog)
    return waiting


async def totals(hub: Hub, waiting: Waiting) -> Totals:
    """Sum up all pairs, and look at the disk."""
    backlogs = [backlog for of_pair in waiting.values() for backlog in of_pair]
    rates = [hub.rate(pair_id) for pair_id in hub.pairs.runners]
    use = await asyncio.to_thread(disk_use, hub.settings.data_dir / DATABASE_NAME)
    copy_bytes = sum(backlog.stored_bytes for backlog in backlogs)
    hub.repairs.observe(free_bytes=use.free_bytes, copy_bytes=copy_bytes)
    return Totals(
        sum(backlog.copies_count for backlog in backlogs),
        copy_bytes,
        hub.settings.copy_bytes_max,
        _oldest_ms(backlogs),
        sum(rate.bytes_per_s for rate in rates),
        sum(rate.segments_per_s for rate in rates),
        use.database_bytes,
        use.free_bytes,
    )


def versions_of_sites(hub: Hub) -> dict[str, list[int]]:
    """Return the protocol versions that each linked site speaks, one for each of its links."""
    versions: dict[str, list[int]] = {}
    for (site_id, _), link in hub.links.items():
        versions.setdefault(site_id, []).append(link.version)
    return versions


def site_report(hub: Hub, site: Site, versions: Mapping[str, list[int]]) -> SiteReport:
    """Return how a site stands; `versions` are those of all sites."""
    spoken = versions.get(site.site_id, [])
    return SiteReport(
        site.site_id,
        site.site_name,
        site.enrolled_ms,
        site.revoked_ms is not None,
        len(spoken),
        hub.last_seen_ms.get(site.site_id),
        min(spoken, default=None),
    )


NamedConnector = tuple[str, str, str]
"""Site ID, site name and connector ID."""


def connectors(hub: Hub, pairs: Iterable[Pair]) -> list[tuple[NamedConnector, str]]:
    """Return the connectors that are linked or in a pair, with their roles, in no order."""
    roles: dict[NamedConnector, str] = {
        (link.connector[0], link.site_name, link.connector[1]): "standalone" for link in hub.links.values()
    }
    for pair in pairs:
        source, target = pair.certificate.source, pair.certificate.target
        roles[source.site_id, source.site_name, source.connector_id] = Side.SOURCE.word
        roles[target.site_id, target.site_name, target.connector_id] = Side.TARGET.word
    return list(roles.items())


def connector_report(hub: Hub, connector: NamedConnector, role: str) -> ConnectorReport:
    """Return how a connector stands."""
    link = hub.links.get((connector[0], connector[2]))
    if link is None:
        return ConnectorReport(*connector, role, False)
    return ConnectorReport(*connector, role, True, link.opened_ms, link.address, link.version)


def windows(hub: Hub) -> list[WindowReport]:
    """Return the pairing windows that are open, the oldest first."""
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


def linked_sides(hub: Hub, certificate: PairCertificate) -> tuple[bool, bool]:
    """Tell whether source and target are linked."""
    return _connector(certificate.source) in hub.links, _connector(certificate.target) in hub.links


def pair_report(hub: Hub, pair: Pair, waiting: Waiting) -> PairReport:
    """Return how a pair stands."""
    backlogs = waiting.get(pair.pair_id, [])
    source, target = pair.certificate.source, pair.certificate.target
    relayed, rate = hub.relayed(pair.pair_id), hub.rate(pair.pair_id)
    return PairReport(
        pair.pair_id.hex(),
        source.site_name,
        source.connector_id,
        target.site_name,
        target.connector_id,
        pair.registered_ms,
        *linked_sides(hub, pair.certificate),
        sum(backlog.copies_count for backlog in backlogs),
        sum(backlog.stored_bytes for backlog in backlogs),
        _oldest_ms(backlogs),
        relayed.bytes_count,
        relayed.segments_count,
        rate.bytes_per_s,
        rate.segments_per_s,
    )


async def tokens(hub: Hub) -> list[TokenReport]:
    """Return the enrolment tokens that have not expired, newest first; raises StorageFailed."""
    return [_token(token) for token in await hub.store.tokens(now_ms=hub.wall_ms())]


def _token(token: Token) -> TokenReport:
    return TokenReport(token.token_id, token.hint, token.site_name, token.created_ms, token.expires_ms, token.used_ms)


def _connector(party: Party) -> Connector:
    return party.site_id, party.connector_id


def _oldest_ms(backlogs: Iterable[Backlog]) -> int | None:
    return min((backlog.oldest_ms for backlog in backlogs if backlog.oldest_ms is not None), default=None)
