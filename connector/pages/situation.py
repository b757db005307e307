"""How one connector stands at this moment: its link in words, what waits, and what needs a person.

Read once per page or update; the frame, the overview and the lists all speak from it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from connector import accounts, connectors, resources
from connector.accounts import Account, Backlog
from connector.connectors import Connector, Pair
from connector.pages.repairs import open_repairs
from connector.pages.samples import Sample, Samples, Track
from connector.parting_rows import find_talk
from connector.resources import ResourceRow
from connector.runtime import ConnectorRuntime, LinkView
from connector.site import Site
from shared.core.completion import PairState
from shared.core.link_state import LinkState
from shared.core.parting import PartingTalk
from shared.limits import MINUTE_MS, SECOND_MS
from shared.sealing import Side
from web import contexts as c

# A link that moved nothing for this long although something waits is stalled, not connected (G9).
STALLED_AFTER_MS: Final = MINUTE_MS
# An attempt now and then is `reconnecting`; after this long it is `off line`.
OFFLINE_AFTER_MS: Final = MINUTE_MS


@dataclass(frozen=True, slots=True)
class Situation:
    """A connector as pages show it. `account` and `stated` are as in Site.account; `last_applied_ms` at the destination.

    `resources` are without devices and last values, which cost more.
    """

    connector: Connector
    pair: Pair | None
    account: Account | None
    stated: Account | None
    backlog: Backlog
    last_applied_ms: int | None
    resources: list[ResourceRow]
    link: c.LinkStatus
    track: Track
    repairs: tuple[c.Repair, ...]
    talk: PartingTalk

    @property
    def connector_id(self) -> str:
        """The connector's ID."""
        return self.connector.connector_id

    @property
    def role(self) -> c.Role:
        """The connector's role, as pages name it."""
        return c.Role(self.connector.role)

    @property
    def is_paired(self) -> bool:
        """Whether the pairing is complete."""
        return self.pair is not None and self.pair.state is PairState.PAIRED


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database knows of a connector, read in one snapshot."""

    connector: Connector
    account: Account | None
    stated: Account | None
    backlog: Backlog
    arrived_ms: int | None
    resources: list[ResourceRow]
    quarantined: int
    talk: PartingTalk


async def look(site: Site, samples: Samples, connector_id: str) -> Situation:
    """Return how a connector stands; raises Refused('not_found')."""
    runtime = site.runtime(connector_id)
    pair = runtime.pair
    stored = await site.database.read(lambda c: _read(c, connector_id, pair))
    now_ms = site.clock.wall_ms()
    track = samples.track(runtime, now_ms)
    is_target = pair is not None and pair.side is Side.TARGET
    link = _link(site, runtime, stored, track, now_ms)
    repairs = open_repairs(
        site,
        connector=stored.connector,
        pair=pair,
        view=runtime.view,
        link=link,
        rows=stored.resources,
        quarantined=stored.quarantined,
        talk=stored.talk,
    )
    return Situation(
        connector=stored.connector,
        pair=pair,
        account=stored.account,
        stated=stored.stated,
        backlog=stored.backlog,
        last_applied_ms=stored.arrived_ms if is_target else stored.backlog.last_applied_ms,
        resources=stored.resources,
        link=link,
        track=track,
        repairs=repairs,
        talk=stored.talk,
    )


async def take_sample(site: Site, samples: Samples, runtime: ConnectorRuntime) -> Sample:
    """Return one look at a connector for the sparklines and the heartbeat."""
    seen = await look(site, samples, runtime.connector_id)
    account = seen.account
    return Sample(
        at_ms=site.clock.wall_ms(),
        taken=site.ingestion.taken.get(runtime.connector_id, 0),
        applied=account.applied if account else 0,
        queued=account.queued if account else 0,
        link=seen.link.state,
    )


def _read(connection: sqlite3.Connection, connector_id: str, pair: Pair | None) -> Stored:
    paired = pair is not None and pair.state is PairState.PAIRED
    (quarantined,) = connection.execute(
        "SELECT COUNT(*) FROM quarantine WHERE connector_id = ?", (connector_id,)
    ).fetchone()
    return Stored(
        connector=connectors.get_connector(connection, connector_id),
        account=accounts.own_account(connection, pair) if pair is not None and paired else None,
        stated=accounts.peer_account(connection, connector_id) if paired else None,
        backlog=accounts.backlog(connection, connector_id),
        arrived_ms=accounts.last_arrival_ms(connection, connector_id),
        resources=resources.list_resources(connection, connector_id, paired=paired, latest=False),
        quarantined=quarantined,
        talk=find_talk(connection, connector_id),
    )


# --- the link in words ------------------------------------------------------------------------------------------------


def _link(site: Site, runtime: ConnectorRuntime, stored: Stored, track: Track, now_ms: int) -> c.LinkStatus:
    view = runtime.view
    if stored.connector.disabled:
        return c.LinkStatus(c.LinkState.DISABLED)
    if runtime.pair is None:
        return c.LinkStatus(c.LinkState.NOT_PAIRED)
    if view.state is not LinkState.LINKED:
        return unlinked_status(view, track, now_ms)
    if not view.peer_linked:
        return c.LinkStatus(c.LinkState.PEER_OFFLINE, since_ms=track.peer_unlinked_ms)
    waited_ms = stalled_ms(runtime.pair, stored, track, now_ms, peer_ahead_ms=site.guard.peer_off_ms)
    if waited_ms >= STALLED_AFTER_MS:
        return c.LinkStatus(c.LinkState.STALLED, stalled_for_s=waited_ms / SECOND_MS)
    return c.LinkStatus(c.LinkState.CONNECTED, round_trip_ms=view.round_trip_ms or None)


def unlinked_status(view: LinkView, track: Track, now_ms: int) -> c.LinkStatus:
    """Return what a link that is wanted and not there is called."""
    since_ms = track.unlinked_ms if track.unlinked_ms is not None else now_ms
    if now_ms - since_ms >= OFFLINE_AFTER_MS:
        return c.LinkStatus(c.LinkState.OFFLINE, since_ms=since_ms)
    if view.state is LinkState.WAITING:
        return c.LinkStatus(c.LinkState.RECONNECTING, retry_in_s=max(0.0, (view.next_attempt_ms - now_ms) / SECOND_MS))
    return c.LinkStatus(c.LinkState.RECONNECTING if track.was_linked else c.LinkState.CONNECTING)


def stalled_ms(pair: Pair, stored: Stored, track: Track, now_ms: int, *, peer_ahead_ms: int) -> int:
    """Return for how long something has waited with nothing applied although both sides were linked; 0 where nothing has."""
    together_ms = max(track.linked_ms or 0, track.peer_linked_ms or 0)
    if pair.side is Side.SOURCE:
        oldest_ms = stored.backlog.oldest_ms
        if oldest_ms is None:
            return 0
        return now_ms - max(oldest_ms, stored.backlog.last_applied_ms or 0, together_ms)
    stated = stored.stated
    if stated is None or stated.stated_ms is None or stated.tail + stated.outbox == 0:
        return 0
    # A target knows what waits only from what the source stated, by the source's clock.
    return stated.stated_ms - peer_ahead_ms - max(stored.arrived_ms or 0, together_ms)
