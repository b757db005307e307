"""Replays as pages show them: the list, and the form filled in for a span (N9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connector.pages.frame import Visit
from connector.pages.situation import Situation
from shared.core.replay_job import NOT_ACCEPTED, NOT_STREAMED, UNKNOWN_RESOURCE, ReplayJob, ReplayState
from shared.errors import REFUSALS
from web import contexts as c
from web import formats, paths

# Names in one cell; the rest are counted.
_NAMED_MAX: Final = 3
_WHY_LEFT_OUT: Final = {
    UNKNOWN_RESOURCE: "is not a resource at the source",
    NOT_STREAMED: "has its Remote-Sync off at the source",
    NOT_ACCEPTED: "is not the same at the target",
}


async def replay_list(visit: Visit, seen: Situation, alias: str = "") -> c.ReplayList:
    """Return replays, newest first; with `alias` those that cover this resource."""
    jobs = await visit.site.replays.jobs(visit.connector_id)
    shown = [job for job in jobs if not alias or not job.ask.resources or alias in job.ask.resources]
    may = visit.may("edit") and seen.is_paired
    return c.ReplayList(visit.connector_id, tuple(_row(visit, seen, job, may=may) for job in shown), alias)


def _row(visit: Visit, seen: Situation, job: ReplayJob, *, may: bool) -> c.ReplayRow:
    ask, made = job.ask, job.figures
    own = seen.pair is not None and ask.side == seen.pair.side
    peer = seen.pair.peer_site_name if seen.pair is not None else ""
    return c.ReplayRow(
        replay_id=ask.job_id,
        state=c.ReplayStanding(job.state.value),
        from_ms=ask.from_ms,
        to_ms=ask.to_ms,
        what=_what(job),
        asked_by=ask.who,
        asked_at=visit.site.identity.site_name if own else peer,
        asked_ms=ask.asked_ms,
        asked_count=job.asked_count,
        sent_count=max(job.sent_count, made.arrived),
        arrived_count=made.arrived,
        added_count=made.added,
        present_count=made.present,
        differing_count=made.differing,
        problems=tuple(_problems(job)),
        can_cancel=may and job.state.is_open,
    )


def _what(job: ReplayJob) -> str:
    resources = _listed(job.ask.resources) or "all resources"
    return f"{resources} of {_listed(job.ask.devices) or 'all devices'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _problems(job: ReplayJob) -> list[str]:
    found: list[str] = []
    if job.state is ReplayState.REFUSED:
        sentence = REFUSALS[job.reason][2] if job.reason in REFUSALS else job.reason
        found.append(sentence if "{" not in sentence else "There are too many replays open at the source.")
    found += [f"{each.resource} {_WHY_LEFT_OUT.get(each.reason, each.reason)}" for each in job.left_out[:_NAMED_MAX]]
    if len(job.left_out) > _NAMED_MAX:
        found.append(f"{len(job.left_out) - _NAMED_MAX} more resources are left out")
    if made := job.figures.unplaced:
        names = _listed([f"{device}: {resource}" for device, resource in job.figures.names])
        found.append(f"{formats.count(made)} have no device or resource at the target ({names})")
    if job.run > 1:
        found.append("begun again, for one side was restored")
    return found


def replay_form(
    visit: Visit,
    seen: Situation,
    url: str,
    span: tuple[int, int | None],
    *,
    device: str = "",
    resources: tuple[str, ...] = (),
) -> c.ReplayForm | None:
    """Return the form filled in for a span; None where this person may not ask, or there is nobody to ask."""
    if not visit.may("edit") or not seen.is_paired or seen.pair is None:
        return None
    zone = visit.desk.viewer(visit.request).zone
    from_text, to_text = ("" if at_ms is None else f"{formats.moment(at_ms, zone):%Y-%m-%dT%H:%M}" for at_ms in span)
    return c.ReplayForm(
        url=url,
        peer_site_name=seen.pair.peer_site_name,
        is_source=seen.role is c.Role.SOURCE,
        from_text=from_text,
        to_text=to_text,
        zone_name=formats.zone_label(formats.moment(visit.now_ms, zone)),
        device=device,
        resources=resources,
    )


def resource_replay_url(connector_id: str, alias: str) -> str:
    """Return where the form of one resource goes."""
    return paths.fill(paths.RESOURCE_REPLAY, connector_id=connector_id, alias=alias)
