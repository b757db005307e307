"""Replays: a past range is sent again and fills what the target lacks (N9)."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.operations import ONE, Call, Operation
from connector.api.paging import Page
from connector.replays import ReplayWish
from shared.core.replay_job import ReplayJob
from shared.errors import Refused
from shared.sealing import Side


class LeftOutResource(msgspec.Struct, frozen=True):
    """A resource that is not sent: unknown_resource, not_streamed (Remote-Sync off) or not_accepted (not the same there)."""

    resource: str
    reason: str


class Replay(msgspec.Struct, frozen=True):
    """A replay. `state` is asked, waiting, running, done, cancelled or refused; `reason` is the code of a refusal.

    Counts are readings: `asked` is an estimate until it is done; `present` were at the target already, `differing` of
    them with another value, which stays; `unplaced` have no device or resource there, `unplaced_names` are some of them.
    `run` counts how often it began: once more where the target was restored.
    """

    replay_id: str
    state: str
    reason: str
    from_ms: int
    to_ms: int
    resources: list[str]
    devices: list[str]
    asked_by: str
    asked_at: str
    asked_ms: int
    run: int
    asked: int
    sent: int
    arrived: int
    added: int
    present: int
    differing: int
    unplaced: int
    unplaced_names: list[tuple[str, str]]
    left_out: list[LeftOutResource]


async def ask_replay(call: Call) -> Replay:
    """Send a past range again, or ask the source to."""
    wish = await call.body(ReplayWish)
    return _shown(await call.site.replays.ask(call.connector_id, wish, who=call.principal.name))


async def list_replays(call: Call) -> Page[Replay]:
    """Return replays, newest first: open ones, and those that were over last."""
    return Page([_shown(job) for job in await call.site.replays.jobs(call.connector_id)])


async def get_replay(call: Call) -> Replay:
    """Return one replay."""
    job_id = call.named("replay_id")
    for job in await call.site.replays.jobs(call.connector_id):
        if job.ask.job_id == job_id:
            return _shown(job)
    raise Refused("not_found", what="replay")


async def cancel_replay(call: Call) -> None:
    """Stop a replay at both sides; what arrived stays."""
    await call.site.replays.cancel(call.connector_id, call.named("replay_id"), who=call.principal.name)


def _shown(job: ReplayJob) -> Replay:
    ask, made = job.ask, job.figures
    return Replay(
        replay_id=ask.job_id,
        state=job.state.value,
        reason=job.reason,
        from_ms=ask.from_ms,
        to_ms=ask.to_ms,
        resources=ask.resources,
        devices=ask.devices,
        asked_by=ask.who,
        asked_at=Side(ask.side).word,
        asked_ms=ask.asked_ms,
        run=job.run,
        asked=job.asked_count,
        sent=max(job.sent_count, made.arrived),
        arrived=made.arrived,
        added=made.added,
        present=made.present,
        differing=made.differing,
        unplaced=made.unplaced,
        unplaced_names=made.names,
        left_out=[LeftOutResource(each.resource, each.reason) for each in job.left_out],
    )


_REPLAYS: Final = ONE + "/replays"
_REPLAY: Final = _REPLAYS + "/{replay_id}"
OPERATIONS: Final = (
    Operation(
        "POST",
        _REPLAYS,
        "edit",
        "Send a past range again",
        ask_replay,
        body=ReplayWish,
        answer=Replay,
        errors=("not_paired", "unknown_resource", "unknown_device", "too_many_replays"),
    ),
    Operation("GET", _REPLAYS, "read", "Replays, newest first", list_replays, answer=Page[Replay]),
    Operation("GET", _REPLAY, "read", "One replay", get_replay, answer=Replay),
    Operation("DELETE", _REPLAY, "edit", "Stop a replay", cancel_replay, errors=("not_paired",)),
)
