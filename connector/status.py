"""What a site says about itself to programs: the JSON of `status`, and of its connectors and windows."""

from __future__ import annotations

import msgspec

from connector.accounts import Account, Backlog
from connector.connectors import Connector, Pair
from connector.runtime import LinkView
from connector.site import Site
from shared.core.window import Window
from shared.served_certificate import CertificateStatus


class LinkStatus(msgspec.Struct, frozen=True):
    """The link of a connector: `state` is idle, connecting, linked or waiting. Times are ms since 1970."""

    state: str
    since_ms: int
    round_trip_ms: float
    peer_linked: bool
    problem: str
    bytes_sent: int
    bytes_received: int


class PairStatus(msgspec.Struct, frozen=True):
    """The pair of a connector: `state` is pending or paired; `side` is ours, source or target."""

    pair_id: str
    state: str
    side: str
    accepted: bool
    fingerprint: str
    peer_site: str
    peer_connector: str
    paired_ms: int | None


class ConnectorStatus(msgspec.Struct, frozen=True):
    """A connector: `role` is standalone, source or target. `account` is this side's own; see docs/api.md."""

    connector_id: str
    name: str
    role: str
    disabled: bool
    creates_devices: bool
    link: LinkStatus
    pair: PairStatus | None
    account: Account | None
    stated_by_source: Account | None
    backlog: Backlog


class SiteStatus(msgspec.Struct, frozen=True):
    """The whole site. `time_ms` is its clock; a problem is empty where there is none."""

    site_id: str
    site_name: str
    hub_url: str
    enrolled: bool
    enrolment_problem: str
    storage_problem: str
    clock_in_doubt: bool
    time_ms: int
    connectors: list[ConnectorStatus]
    certificate: CertificateStatus | None = None


class WindowStatus(msgspec.Struct, frozen=True):
    """A pairing window: `state` is idle, waiting, claiming, used, expired, closed or cancelled.

    The code is empty once the window is over; claims can come once it is `filed` at the hub.
    """

    state: str
    site_name: str
    connector_id: str
    code: str = ""
    expires_ms: int | None = None
    attempts_left: int = 0
    filed: bool = False


async def site_status(site: Site) -> SiteStatus:
    """Return the state of the whole site."""
    return SiteStatus(
        site_id=site.identity.site_id,
        site_name=site.identity.site_name,
        hub_url=site.hub_url,
        enrolled=bool(site.identity.enrolment),
        enrolment_problem=site.enrolment.problem,
        storage_problem=site.storage_problem,
        clock_in_doubt=site.guard.in_doubt,
        time_ms=site.clock.wall_ms(),
        connectors=[await connector_status(site, connector) for connector in await site.connectors()],
        certificate=None if site.certificate is None else site.certificate.status(site.clock.wall_ms()),
    )


async def connector_status(site: Site, connector: Connector) -> ConnectorStatus:
    """Return the state of one connector: its link, pair, account and backlog."""
    runtime = site.runtime(connector.connector_id)
    own, stated = await site.account(connector.connector_id)
    return ConnectorStatus(
        connector_id=connector.connector_id,
        name=connector.name,
        role=connector.role,
        disabled=connector.disabled,
        creates_devices=connector.creates_devices,
        link=_link(runtime.view),
        pair=_pair(runtime.pair) if runtime.pair is not None else None,
        account=own,
        stated_by_source=stated,
        backlog=await site.backlog(connector.connector_id),
    )


def _link(view: LinkView) -> LinkStatus:
    return LinkStatus(
        state=view.state.value,
        since_ms=view.since_ms,
        round_trip_ms=round(view.round_trip_ms, 3),
        peer_linked=view.peer_linked,
        problem=view.problem,
        bytes_sent=view.bytes_sent,
        bytes_received=view.bytes_received,
    )


def _pair(pair: Pair) -> PairStatus:
    return PairStatus(
        pair_id=pair.pair_id.hex(),
        state=pair.state.value,
        side=pair.side.word,
        accepted=pair.accepted,
        fingerprint=pair.fingerprint,
        peer_site=pair.peer_site_name,
        peer_connector=pair.peer_connector_id,
        paired_ms=pair.paired_ms,
    )


def window_status(site: Site, connector_id: str, window: Window | None) -> WindowStatus:
    """Return a pairing window with what the other side has to be told."""
    name = site.identity.site_name
    if window is None:
        return WindowStatus("idle", name, connector_id)
    return WindowStatus(
        state=window.state.value,
        site_name=name,
        connector_id=connector_id,
        code=window.code,
        expires_ms=window.expires_ms,
        attempts_left=window.attempts_left,
        filed=site.runtime(connector_id).source.filed,
    )
