"""What the judge of health is told (shared.core.health): read from the runtime of a connector, its rows, and the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.pair_runner import QuarantineState
from connector.resources import ResourceRow
from shared.core.completion import PairState
from shared.core.health import ConnectorFacts, DamagedFact, LinkFacts, ResourceFact, SiteFacts
from shared.core.link_state import LinkState
from shared.sealing import Side
from web import formats

if TYPE_CHECKING:
    from connector.connectors import Pair
    from connector.pages.samples import Track
    from connector.pages.situation import Stored
    from connector.runtime import ConnectorRuntime, LinkView
    from connector.site import Site


def link_facts(view: LinkView, track: Track, *, is_paired: bool, is_disabled: bool = False) -> LinkFacts:
    """Return what is known of a link without a look at what waits."""
    return LinkFacts(
        is_paired=is_paired,
        is_disabled=is_disabled,
        is_wanted=view.state is not LinkState.IDLE,
        is_linked=view.state is LinkState.LINKED,
        waits_to_retry=view.state is LinkState.WAITING,
        was_linked=track.was_linked,
        retry_ms=view.next_attempt_ms,
        unlinked_ms=track.unlinked_ms,
        peer_is_linked=view.peer_linked,
        peer_unlinked_ms=track.peer_unlinked_ms,
        round_trip_ms=view.round_trip_ms,
        silent_s=view.silent_s,
        canary_ms=track.canary_ms,
        canary_lost_ms=track.canary_lost_ms,
        starved=track.starved,
        problem=view.problem,
        problem_code=view.problem_code,
    )


def connector_facts(
    site: Site, runtime: ConnectorRuntime, stored: Stored, link: LinkFacts, drain_bytes_per_s: int | None
) -> ConnectorFacts:
    """Return what is known of a connector."""
    pair, settings = runtime.pair, site.settings
    theirs = stored.talk.theirs
    is_source = pair is not None and pair.side is Side.SOURCE
    room = runtime.runner.room if runtime.runner is not None else QuarantineState()
    return ConnectorFacts(
        connector_id=runtime.connector_id,
        link=link,
        pairing="none" if pair is None else "paired" if pair.state is PairState.PAIRED else "pending",
        peer=pair.peer_site_name if pair is not None else "",
        resources=tuple(found for row in stored.resources if (found := _mismatch(pair, row)) is not None),
        untold=stored.untold,
        quarantined=stored.quarantined,
        quarantine_bytes=room.used_bytes,
        quarantine_bytes_max=settings.quarantine_bytes_max,
        quarantine_is_full=room.is_full,
        quarantine_is_full_there=room.is_full_there,
        parting_asked_by=None if theirs is None else theirs.who,
        waiting_bytes=stored.backlog.bytes if is_source else 0,
        oldest_ms=stored.backlog.oldest_ms,
        oldest_waiting_ms=stored.backlog.oldest_waiting_ms if is_source else None,
        oldest_held_ms=stored.backlog.oldest_held_ms,
        ages_are_doubted=site.guard.in_doubt,
        bytes_max=settings.outbox_bytes_max if is_source else 0,
        retention_ms=settings.retention_ms,
        refuses_when_full=settings.outbox_full == "refuse_new",
        drain_bytes_per_s=drain_bytes_per_s if is_source else None,
        site_is_refused=bool(site.enrolment.problem),
        hub_is_reached=site.repairs.is_hub_reached(runtime.connector_id),
    )


def _mismatch(pair: Pair | None, row: ResourceRow) -> ResourceFact | None:
    if pair is None or pair.state is not PairState.PAIRED:
        return None
    if row.match == "different":
        return ResourceFact(row.alias, "different", tuple(row.different))
    side = {"missing_there": Side.SOURCE, "missing_here": Side.TARGET}.get(row.match)
    return ResourceFact(row.alias, row.match) if row.remote_sync and pair.side is side else None


def site_facts(site: Site) -> SiteFacts:
    """Return what is known of the site as a whole."""
    certificate, enrolment = site.certificate, site.enrolment
    return SiteFacts(
        storage_problem=site.storage_problem,
        read_problem=site.repairs.read_problem,
        free_bytes=site.repairs.free_bytes,
        warn_bytes=site.settings.disk_warn_bytes,
        certificate_warning="" if certificate is None else certificate.status(site.clock.wall_ms()).warning,
        clock_jumped_ms=site.guard.jumped_ms,
        clock_was_away=site.guard.was_away,
        hub_off_ms=site.guard.hub_off_ms,
        peer_off_ms=site.guard.peer_off_ms,
        enrolment_problem=enrolment.problem if enrolment.is_refused or not site.hub_url else "",
        hub_problem="" if enrolment.is_refused else enrolment.problem,
        undelivered=site.notices.undelivered(),
        is_delivery_known=site.notices.is_delivery_known(),
        is_enrolment_known=enrolment.is_answered or not site.hub_url or _is_linked(site),
        stopped=site.stopped(),
        damaged=_damaged(site),
    )


def _damaged(site: Site) -> tuple[DamagedFact, ...] | None:
    if site.repairs.damages is None:
        return None
    return tuple(
        DamagedFact(each.connector_id, each.name, each.count, formats.iso(each.first_ms), formats.iso(each.last_ms))
        for each in site.repairs.damages
    )


def _is_linked(site: Site) -> bool:
    return any(runtime.view.state is LinkState.LINKED for runtime in site.runtimes.values())
