"""What a site says about itself to programs: the JSON of `status`, and of its connectors and windows."""

from __future__ import annotations

import msgspec

from connector.accounts import Account, Backlog
from connector.connectors import Connector, Pair
from connector.resource_accounts import ResourceAccount, Room
from connector.runtime import LinkView
from connector.site import Site
from shared.core.health import judge_flow
from shared.core.window import Window
from shared.limits import SECOND_MS
from shared.notices.desk import ChannelStatus
from shared.notices.repair_status import RepairStatus, repair_status
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


class FlowStatus(msgspec.Struct, frozen=True):
    """Whether data can flow (G9): `state` as the pages name it, such as connected, stalled or peer_offline.

    `canary_ms` is the last round trip through the whole pair, `oldest_unapplied_s` the age of the oldest reading
    not yet applied, at either side, `stalled_for_s` how long nothing was applied although something waits; None where
    there is none.
    """

    state: str
    since_ms: int | None
    canary_ms: float | None
    oldest_unapplied_s: float | None
    stalled_for_s: float | None


class ConnectorStatus(msgspec.Struct, frozen=True):
    """A connector: `role` is standalone, source or target. `account` is this side's own; see docs/api.md.

    `drain_bytes_per_s` is what a backlog may take of the link: 0 for no bound, null for what the site's settings say.
    """

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
    resource_accounts: list[ResourceAccount] = []
    room: Room | None = None
    flow: FlowStatus | None = None
    drain_bytes_per_s: int | None = None


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
    repairs: list[RepairStatus] = []
    notices: list[ChannelStatus] = []


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
    found = [await connector_status(site, connector) for connector in await site.connectors()]
    site.repairs.observe_site()
    return SiteStatus(
        site_id=site.identity.site_id,
        site_name=site.identity.site_name,
        hub_url=site.hub_url,
        enrolled=bool(site.identity.enrolment),
        enrolment_problem=site.enrolment.problem,
        storage_problem=site.storage_problem,
        clock_in_doubt=site.guard.in_doubt,
        time_ms=site.clock.wall_ms(),
        connectors=found,
        certificate=None if site.certificate is None else site.certificate.status(site.clock.wall_ms()),
        repairs=[repair_status(repair) for repair in site.repairs.open()],
        notices=site.notices.status(),
    )


async def connector_status(site: Site, connector: Connector) -> ConnectorStatus:
    """Return the state of one connector: its link, pair, account and backlog."""
    runtime = site.runtime(connector.connector_id)
    flow = await _flow(site, connector.connector_id)
    books = await site.books(connector.connector_id)
    return ConnectorStatus(
        connector_id=connector.connector_id,
        name=connector.name,
        role=connector.role,
        disabled=connector.disabled,
        creates_devices=connector.creates_devices,
        link=_link(runtime.view),
        pair=_pair(runtime.pair) if runtime.pair is not None else None,
        account=books.own,
        stated_by_source=books.stated,
        resource_accounts=list(books.resources),
        room=books.room,
        backlog=books.backlog,
        flow=flow,
        drain_bytes_per_s=connector.drain_bytes_per_s,
    )


async def _flow(site: Site, connector_id: str) -> FlowStatus | None:
    facts = await site.repairs.facts_now(connector_id)
    if facts is None:
        return None
    now_ms = site.clock.wall_ms()
    flow = judge_flow(facts.link, now_ms)
    return FlowStatus(
        state=flow.state.value,
        since_ms=flow.since_ms,
        canary_ms=facts.link.canary_ms,
        oldest_unapplied_s=None if facts.oldest_ms is None else max(0, now_ms - facts.oldest_ms) / SECOND_MS,
        stalled_for_s=None if flow.stalled_for_ms is None else flow.stalled_for_ms / SECOND_MS,
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
