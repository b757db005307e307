"""How one connector stands at this moment: its link in words, what waits, and what needs a person.

Read once per page or update; the frame, the overview and the lists all speak from it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from connector import accounts, connectors, resources
from connector.accounts import Account, Backlog
from connector.connectors import Connector, Pair
from connector.health_facts import connector_facts, link_facts
from connector.pages.samples import Sample, Samples, Track
from connector.parting_rows import find_talk
from connector.resources import ResourceRow
from connector.runtime import ConnectorRuntime, LinkView
from connector.site import Site
from shared.core.completion import PairState
from shared.core.health import ConnectorFacts, Flow, FlowState, LinkFacts, judge_flow, judge_unlinked
from shared.core.parting import PartingTalk
from shared.core.repairs import Repair
from shared.limits import SECOND_MS
from shared.sealing import Side
from web import contexts as c


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
    repairs: tuple[Repair, ...]
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
    movable_ms: int | None = None
    """When the oldest reading was accepted that nothing holds back here; None for none."""
    untold: int = 0
    """Resources of which the other side cannot be told."""


async def look(site: Site, samples: Samples, connector_id: str) -> Situation:
    """Return how a connector stands; raises Refused('not_found')."""
    runtime = site.runtime(connector_id)
    pair = runtime.pair
    stored = await site.database.read(lambda c: _read(c, connector_id, pair))
    now_ms = site.clock.wall_ms()
    track = samples.track(runtime, now_ms)
    is_target = pair is not None and pair.side is Side.TARGET
    link = _link_facts(site, runtime, stored, track, now_ms)
    drain_bytes_per_s = runtime.runner.drain_bytes_per_s if runtime.runner is not None else None
    facts = connector_facts(site, runtime, stored, link, drain_bytes_per_s)
    site.repairs.observe(facts)
    return Situation(
        connector=stored.connector,
        pair=pair,
        account=stored.account,
        stated=stored.stated,
        backlog=stored.backlog,
        last_applied_ms=stored.arrived_ms if is_target else stored.backlog.last_applied_ms,
        resources=stored.resources,
        link=_flow_status(facts, now_ms),
        track=track,
        repairs=site.repairs.open(connector_id),
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
        movable_ms=_movable_ms(connection, connector_id) if paired else None,
        untold=resources.count_untold(connection, connector_id),
    )


def _movable_ms(connection: sqlite3.Connection, connector_id: str) -> int | None:
    """What waits under the name of a resource is held back for the other side's want of it, which is no stall."""
    row = connection.execute(
        "SELECT MIN(oldest) FROM (SELECT MIN(accepted_ms) AS oldest FROM segment"
        " WHERE connector_id = ?1 AND dropped IS NULL"
        " UNION ALL SELECT MIN(accepted_ms) FROM tail WHERE connector_id = ?1 AND resource = '')",
        (connector_id,),
    ).fetchone()
    return None if row[0] is None else int(row[0])


# --- the link in words ------------------------------------------------------------------------------------------------


def _link_facts(site: Site, runtime: ConnectorRuntime, stored: Stored, track: Track, now_ms: int) -> LinkFacts:
    pair = runtime.pair
    track.observe_credit(runtime.runner.credit if runtime.runner is not None else None)
    link = link_facts(runtime.view, track, is_paired=pair is not None, is_disabled=stored.connector.disabled)
    if pair is None or not (link.is_linked and link.peer_is_linked):
        return link
    waited_ms = stalled_ms(pair, stored, track, now_ms, peer_ahead_ms=site.guard.peer_off_ms)
    last_ms = stored.arrived_ms if pair.side is Side.TARGET else stored.backlog.last_applied_ms
    moved = waited_ms <= 0 or (last_ms or 0) > together_ms(track)
    return replace(link, waited_ms=waited_ms, moved=moved)


def _flow_status(facts: ConnectorFacts, now_ms: int) -> c.LinkStatus:
    oldest_ms = facts.oldest_ms
    age_s = None if oldest_ms is None else max(0, now_ms - oldest_ms) / SECOND_MS
    return _link_status(judge_flow(facts.link, now_ms), facts.link.canary_ms, age_s)


def worst_link(site: Site) -> tuple[str, c.LinkStatus] | None:
    """Return the connector that fares worst, and how, by the last look at each (seconds ago); None where none is paired."""
    now_ms = site.clock.wall_ms()
    seen = [facts for facts in site.repairs.facts() if facts.pairing != "none" and not facts.link.is_disabled]
    found = [(facts.connector_id, _flow_status(facts, now_ms)) for facts in seen]
    return max(found, key=lambda each: _badness(each[1]), default=None)


def _badness(link: c.LinkStatus) -> tuple[int, float, float]:
    return list(FlowState).index(link.state), link.oldest_unapplied_s or 0.0, link.canary_ms or 0.0


def _link_status(flow: Flow, canary_ms: float | None = None, oldest_unapplied_s: float | None = None) -> c.LinkStatus:
    return c.LinkStatus(
        flow.state,
        round_trip_ms=flow.round_trip_ms,
        retry_in_s=None if flow.retry_in_ms is None else flow.retry_in_ms / SECOND_MS,
        stalled_for_s=None if flow.stalled_for_ms is None else flow.stalled_for_ms / SECOND_MS,
        since_ms=flow.since_ms,
        silent_for_s=None if flow.silent_for_ms is None else flow.silent_for_ms / SECOND_MS,
        canary_ms=canary_ms,
        oldest_unapplied_s=oldest_unapplied_s,
    )


def unlinked_status(view: LinkView, track: Track, now_ms: int) -> c.LinkStatus:
    """Return what a link that is wanted and not there is called."""
    return _link_status(judge_unlinked(link_facts(view, track, is_paired=True), now_ms))


def together_ms(track: Track) -> int:
    """Return since when both sides are linked."""
    return max(track.linked_ms or 0, track.peer_linked_ms or 0)


def stalled_ms(pair: Pair, stored: Stored, track: Track, now_ms: int, *, peer_ahead_ms: int) -> int:
    """Return for how long something has waited with nothing applied although both sides were linked; 0 where nothing has."""
    since_ms = together_ms(track)
    if pair.side is Side.SOURCE:
        if stored.movable_ms is None:
            return 0
        return now_ms - max(stored.movable_ms, stored.backlog.last_applied_ms or 0, since_ms)
    stated = stored.stated
    if stated is None or stated.stated_ms is None or stated.tail + stated.outbox == 0:
        return 0
    # A target knows what waits only from what the source stated, by the source's clock.
    return stated.stated_ms - peer_ahead_ms - max(stored.arrived_ms or 0, since_ms)
