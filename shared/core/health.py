"""How a site, its connectors or a hub fare (G9): facts and the time in, states and findings out.

A link that is up and moves nothing is stalled, not connected. What follows from a finding is `shared.core.repairs`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from shared.core.repairs import Finding, Judgement
from shared.limits import (
    BACKLOG_NEAR_CLEARED_SHARE,
    BACKLOG_NEAR_SHARE,
    CANARY_LOST_AFTER_MS,
    CLOCK_JUMP_MS_MAX,
    CLOCK_OFF_MS_MAX,
    DISK_LOW_CLEARED_FACTOR,
    DRAIN_HELD_MS,
    LINK_SILENT_AFTER_S,
    OFFLINE_AFTER_MS,
    REPAIRS_OF_KIND_MAX,
    RETENTION_MS,
    SECOND_MS,
    STALLED_AFTER_MS,
)

IsOpen = Callable[[str], bool]
"""Whether the repair with this code is open for the scope that is judged: it then ends at another figure than it began."""
_NAMED_PROBLEMS: Final = frozenset({"duplicate_instance", "version_mismatch"})
# What only a link, or a peer on it, can disprove.
_OF_LINK: Final = frozenset({"link_problem", "pairing_incomplete", *_NAMED_PROBLEMS})
_FULL: Final = frozenset({"quarantine_full", "quarantine_full_there"})
_OF_PEER: Final = frozenset({"peer_offline", "stalled", "no_answer", "no_credit", "drain_budget", *_FULL})


class FlowState(StrEnum):
    """Whether data can flow, in the order in which a person would worry."""

    CONNECTED = "connected"
    """Linked to the hub, and the peer is there."""
    CONNECTING = "connecting"
    """The first attempt to link is under way."""
    RECONNECTING = "reconnecting"
    """The link was lost; the next attempt comes in `retry_in_ms`."""
    HUB_SILENT = "hub_silent"
    """Linked, but the hub has not answered for `silent_for_ms`."""
    PEER_OFFLINE = "peer_offline"
    """Linked to the hub, but the peer is not, since `since_ms`."""
    PEER_SILENT = "peer_silent"
    """Both are linked, but a question through the whole pair has been out for `silent_for_ms`."""
    STALLED = "stalled"
    """Linked, data waits, and nothing was applied for `stalled_for_ms` (rule G9)."""
    OFFLINE = "offline"
    """No link since `since_ms`."""
    DISABLED = "disabled"
    """Switched off by a person."""
    NOT_PAIRED = "not_paired"
    """No peer, so no link is wanted."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The link of a connector. Times are ms since 1970; None: not known, or not so.

    `waited_ms` is how long something waits with nothing applied, and `moved` whether something was applied since both
    sides were linked, or nothing waits. `canary_ms` is the last round trip through the whole pair, `canary_lost_ms` when
    the first was sent that did not come back, `silent_s` how long the hub has left a heartbeat unanswered. `starved`: the
    hub takes nothing, and has granted nothing since the last look.
    """

    is_paired: bool
    is_disabled: bool = False
    is_wanted: bool = True
    is_linked: bool = False
    waits_to_retry: bool = False
    was_linked: bool = False
    retry_ms: int = 0
    unlinked_ms: int | None = None
    peer_is_linked: bool = False
    peer_unlinked_ms: int | None = None
    round_trip_ms: float = 0.0
    silent_s: float = 0.0
    canary_ms: float | None = None
    waited_ms: int = 0
    moved: bool = True
    canary_lost_ms: int | None = None
    starved: bool | None = None
    problem: str = ""
    problem_code: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """The state of a connector's flow, with the figure that belongs to it."""

    state: FlowState
    round_trip_ms: float | None = None
    retry_in_ms: int | None = None
    stalled_for_ms: int | None = None
    since_ms: int | None = None
    silent_for_ms: int | None = None


def judge_flow(link: LinkFacts, now_ms: int) -> Flow:
    """Say whether data can flow now."""
    if link.is_disabled:
        return Flow(FlowState.DISABLED)
    if not link.is_paired:
        return Flow(FlowState.NOT_PAIRED)
    if not link.is_linked:
        return judge_unlinked(link, now_ms)
    if link.silent_s >= LINK_SILENT_AFTER_S:
        return Flow(FlowState.HUB_SILENT, silent_for_ms=round(link.silent_s * SECOND_MS))
    if not link.peer_is_linked:
        return Flow(FlowState.PEER_OFFLINE, since_ms=link.peer_unlinked_ms)
    if link.waited_ms >= STALLED_AFTER_MS:
        return Flow(FlowState.STALLED, stalled_for_ms=link.waited_ms)
    if link.canary_lost_ms is not None:
        return Flow(FlowState.PEER_SILENT, silent_for_ms=max(0, now_ms - link.canary_lost_ms))
    return Flow(FlowState.CONNECTED, round_trip_ms=link.round_trip_ms or None)


def judge_unlinked(link: LinkFacts, now_ms: int) -> Flow:
    """Say what a link that is wanted and not there is called."""
    since_ms = link.unlinked_ms if link.unlinked_ms is not None else now_ms
    if now_ms - since_ms >= OFFLINE_AFTER_MS:
        return Flow(FlowState.OFFLINE, since_ms=since_ms)
    if link.waits_to_retry:
        return Flow(FlowState.RECONNECTING, retry_in_ms=max(0, link.retry_ms - now_ms))
    return Flow(FlowState.RECONNECTING if link.was_linked else FlowState.CONNECTING)


@dataclass(frozen=True, slots=True)
class ResourceFact:
    """A resource that does not fit the other side's: `match` is missing_here, missing_there or different."""

    alias: str
    match: str
    different: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectorFacts:
    """What is known of a connector. `pairing` is none, pending or paired; bytes and readings are those that wait.

    `oldest_ms` is since when the oldest of them waits at either side: one that waits here was accepted at `oldest_waiting_ms`,
    one held at the target came at `oldest_held_ms`. `drain_bytes_per_s` is the operator's budget, None for none.
    """

    connector_id: str
    link: LinkFacts
    pairing: str = "none"
    peer: str = ""
    resources: tuple[ResourceFact, ...] = ()
    untold: int = 0
    """Resources of which the other side cannot be told, for all definitions are too much for one entry."""
    quarantined: int = 0
    quarantine_bytes: int = 0
    quarantine_bytes_max: int = 0
    quarantine_is_full: bool = False
    """Whether something could not be kept aside for want of room."""
    quarantine_is_full_there: bool = False
    parting_asked_by: str | None = None
    waiting_bytes: int = 0
    oldest_ms: int | None = None
    oldest_waiting_ms: int | None = None
    oldest_held_ms: int | None = None
    ages_are_doubted: bool = False
    """Whether the clock is in doubt, so that nothing expires by it."""
    bytes_max: int = 0
    retention_ms: int = 0
    refuses_when_full: bool = False
    drain_bytes_per_s: int | None = None
    site_is_refused: bool = False
    """Whether the hub refuses the site as a whole, which is a repair of its own."""
    hub_is_reached: bool = False
    """Whether another connector of this site is linked: then it is not the hub that is away."""


@dataclass(frozen=True, slots=True)
class DamagedFact:
    """Readings of a connector's history that cannot be read any more; `first` and `last` are their times for people."""

    connector_id: str
    name: str
    count: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What is known of a site as a whole. Differences of clocks: ms by which the other's is ahead of ours.

    `undelivered` names channels of notices that fail: (channel, why, how many wait); `is_delivery_known` is false while
    what waits was not tried since the start. `hub_problem` is why enrolling did not reach the hub;
    `is_enrolment_known`: since the start the hub has said yes or no.
    """

    storage_problem: str = ""
    read_problem: str = ""
    free_bytes: int | None = None
    warn_bytes: int = 0
    certificate_warning: str = ""
    clock_jumped_ms: int = 0
    clock_was_away: bool = False
    """Whether that jump is the time between two runs: the machine may have been off for so long."""
    hub_off_ms: int = 0
    peer_off_ms: int = 0
    enrolment_problem: str = ""
    hub_problem: str = ""
    undelivered: tuple[tuple[str, str, int], ...] = ()
    is_delivery_known: bool = True
    is_enrolment_known: bool = True
    stopped: tuple[str, ...] = ()
    """Work in the background that an error of ours has stopped lately; it was begun again."""
    damaged: tuple[DamagedFact, ...] | None = ()
    """None while nobody has looked yet."""


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What is known of a hub; notices as at a site."""

    storage_problem: str = ""
    free_bytes: int | None = None
    warn_bytes: int = 0
    certificate_warning: str = ""
    copy_bytes: int = 0
    copy_bytes_max: int = 0
    undelivered: tuple[tuple[str, str, int], ...] = ()
    is_delivery_known: bool = True


# --- a connector ----------------------------------------------------------------------------------------------------


def judge_connector(facts: ConnectorFacts, now_ms: int, is_open: IsOpen) -> Judgement:
    """Say what is wrong with a connector."""
    if facts.link.is_disabled:
        return Judgement()
    found = [*_link_findings(facts, now_ms), *_pair_findings(facts, now_ms, is_open), *_resource_findings(facts)]
    return Judgement(tuple(found), _not_known(facts, now_ms))


def _not_known(facts: ConnectorFacts, now_ms: int) -> frozenset[str]:
    """What was raised stays while its proof is out of reach, as it is for the first moments after a start."""
    flow = judge_flow(facts.link, now_ms).state
    if flow in (FlowState.CONNECTING, FlowState.RECONNECTING):
        return _OF_LINK | _OF_PEER
    if flow is FlowState.OFFLINE:  # its own repair; what stood still stands still for that reason
        return frozenset({"peer_offline"}) | _NAMED_PROBLEMS | _FULL
    if flow is FlowState.PEER_OFFLINE:
        return _FULL
    unknown: set[str] = set()
    if flow is FlowState.CONNECTED and not facts.link.moved:
        unknown.add("stalled")
    if flow is FlowState.CONNECTED and facts.link.starved is None:
        unknown.add("no_credit")
    return frozenset(unknown)


def _link_findings(facts: ConnectorFacts, now_ms: int) -> Iterator[Finding]:
    link, scope = facts.link, facts.connector_id
    if not link.problem:
        return
    why = (("why", sentence(link.problem)),)
    if link.problem_code in _NAMED_PROBLEMS and not link.is_linked:
        yield Finding(link.problem_code, scope, facts=why)
    elif facts.site_is_refused:
        return
    elif facts.pairing == "none" and link.is_wanted:
        return  # it is being tried
    elif facts.pairing == "none":
        yield Finding("pairing_failed", scope, facts=why)
    elif facts.pairing == "pending":
        if judge_flow(link, now_ms).state not in (FlowState.CONNECTING, FlowState.RECONNECTING):
            yield Finding("pairing_incomplete", scope, facts=why)
    elif link.is_linked or (facts.hub_is_reached and judge_unlinked(link, now_ms).state is FlowState.OFFLINE):
        yield Finding("link_problem", scope, facts=why)


def _pair_findings(facts: ConnectorFacts, now_ms: int, is_open: IsOpen) -> Iterator[Finding]:
    if facts.quarantined:
        yield Finding("quarantine", facts.connector_id, facts=(("count", spoken_count(facts.quarantined)),))
    if facts.pairing != "paired":
        return
    link, scope = facts.link, facts.connector_id
    peer = ("peer", facts.peer)
    if facts.parting_asked_by is not None:
        yield Finding("parting_asked", scope, facts=(peer, ("who", facts.parting_asked_by or "Somebody")))
    yield from _full(facts)
    # A hub that pauses asks nothing of a person, and takes back nothing that it said before.
    state = judge_flow(replace(link, silent_s=0), now_ms).state
    if state is FlowState.PEER_OFFLINE:
        yield Finding("peer_offline", scope, facts=(peer,))
    if state is FlowState.STALLED and not (facts.quarantine_is_full or facts.quarantine_is_full_there):
        yield Finding("stalled", scope, facts=(peer,))
    if state in (FlowState.CONNECTED, FlowState.PEER_SILENT, FlowState.STALLED):
        if link.canary_lost_ms is not None and now_ms - link.canary_lost_ms >= CANARY_LOST_AFTER_MS:
            yield Finding("no_answer", scope, facts=(peer,))
        if link.starved and facts.waiting_bytes and not facts.quarantine_is_full_there:
            yield Finding("no_credit", scope, facts=(peer,))
        yield from _budget(facts, is_open)
    yield from _limits(facts, now_ms, is_open)


def _full(facts: ConnectorFacts) -> Iterator[Finding]:
    """Name a quarantine that takes nothing more (G7)."""
    peer = ("peer", facts.peer)
    if facts.quarantine_is_full:
        said = (
            peer,
            ("used", spoken_bytes(facts.quarantine_bytes)),
            ("cap", spoken_bytes(facts.quarantine_bytes_max)),
        )
        yield Finding("quarantine_full", facts.connector_id, facts=said)
    if facts.quarantine_is_full_there:
        yield Finding("quarantine_full_there", facts.connector_id, facts=(peer,))


def _budget(facts: ConnectorFacts, is_open: IsOpen) -> Iterator[Finding]:
    """Name a budget of the operator that makes what waits take long."""
    if not facts.drain_bytes_per_s:
        return
    needed_ms = facts.waiting_bytes * SECOND_MS // facts.drain_bytes_per_s
    if needed_ms > (DRAIN_HELD_MS // 2 if is_open("drain_budget") else DRAIN_HELD_MS):
        said = (
            ("budget", spoken_bytes(facts.drain_bytes_per_s)),
            ("waiting", spoken_bytes(facts.waiting_bytes)),
            ("needed", spoken_duration(needed_ms)),
        )
        yield Finding("drain_budget", facts.connector_id, facts=said)


def _limits(facts: ConnectorFacts, now_ms: int, is_open: IsOpen) -> Iterator[Finding]:
    """Name limits at which readings are about to be dropped or refused."""

    def near(code: str) -> float:
        return BACKLOG_NEAR_CLEARED_SHARE if is_open(code) else BACKLOG_NEAR_SHARE

    scope = facts.connector_id
    if facts.bytes_max and facts.waiting_bytes >= near("backlog_near_cap") * facts.bytes_max:
        then = "new readings are refused" if facts.refuses_when_full else "the oldest are dropped, with a gap notice"
        said = (("waiting", spoken_bytes(facts.waiting_bytes)), ("cap", spoken_bytes(facts.bytes_max)), ("then", then))
        yield Finding("backlog_near_cap", scope, facts=said)
    for code, since_ms, retention_ms in (
        ("backlog_near_retention", facts.oldest_waiting_ms, facts.retention_ms),
        ("held_near_retention", facts.oldest_held_ms, RETENTION_MS),
    ):
        if since_ms is None or not retention_ms or facts.ages_are_doubted:
            continue
        if (age_ms := now_ms - since_ms) >= near(code) * retention_ms:
            ages = (("age", spoken_duration(age_ms)), ("retention", spoken_duration(retention_ms)))
            yield Finding(code, scope, facts=ages)


def _resource_findings(facts: ConnectorFacts) -> Iterator[Finding]:
    if facts.untold:
        yield Finding("resources_untold", facts.connector_id, facts=(("count", spoken_count(facts.untold)),))
    if facts.pairing != "paired":
        return
    for resource in islice(facts.resources, REPAIRS_OF_KIND_MAX):
        code = "resource_different" if resource.match == "different" else f"resource_{resource.match}"
        said = [("peer", facts.peer), ("alias", resource.alias)]
        if resource.match == "different":
            said.append(("different", ", ".join(resource.different)))
        yield Finding(code, facts.connector_id, resource.alias, tuple(said))


# --- a site, a hub ------------------------------------------------------------------------------------------------------


def judge_site(facts: SiteFacts, connectors: Iterable[ConnectorFacts], is_open: IsOpen) -> Judgement:
    """Say what is wrong with a site as a whole. A hub that none of its links reaches is one repair, not one for each."""
    found = [*_machine("site", facts, is_open), *_clock(facts, is_open), *_notices(facts)]
    if facts.read_problem:
        found.append(Finding("database_unreadable", facts=(("why", sentence(facts.read_problem)),)))
    found += [Finding("work_stopped", subject=what, facts=(("what", sentence(what)[:-1]),)) for what in facts.stopped]
    found += _damaged(facts)
    if facts.enrolment_problem:
        found.append(Finding("not_enrolled", facts=(("why", sentence(facts.enrolment_problem)),)))
    unknown = {code for code, known in _known_of_site(facts) if not known}
    wanted = [each.link for each in connectors if each.pairing != "none" and not each.link.is_disabled]
    if wanted and not any(link.is_linked for link in wanted):
        unknown |= {"clock_off", "clock_in_doubt"}
    if (why := _hub_problem(facts, wanted)) and not facts.enrolment_problem:
        found.append(Finding("hub_unreachable", facts=(("why", sentence(why)),)))
    return Judgement(tuple(found), frozenset(unknown))


def _damaged(facts: SiteFacts) -> Iterator[Finding]:
    for each in facts.damaged or ():
        said = (
            ("connector", each.name),
            ("count", spoken_count(each.count)),
            ("first", each.first),
            ("last", each.last),
        )
        yield Finding("history_damaged", subject=each.connector_id, facts=said)


def _hub_problem(facts: SiteFacts, wanted: list[LinkFacts]) -> str:
    """Say why no link reaches the hub; empty where one does, or where none is wanted."""
    if any(link.is_linked or link.problem_code in _NAMED_PROBLEMS for link in wanted):
        return ""
    problems = [link.problem for link in wanted if link.problem]
    return facts.hub_problem or next(iter(problems), "There is no link to it." if wanted else "")


def _known_of_site(facts: SiteFacts) -> tuple[tuple[str, bool], ...]:
    return (
        ("disk_low", facts.free_bytes is not None),
        ("history_damaged", facts.damaged is not None),
        ("notices_undelivered", facts.is_delivery_known),
        ("not_enrolled", facts.is_enrolment_known),
    )


def judge_hub(facts: HubFacts, is_open: IsOpen, *, is_copies_known: bool = True) -> Judgement:
    """Say what is wrong with a hub."""
    found = [*_machine("hub", facts, is_open), *_notices(facts)]
    share = BACKLOG_NEAR_CLEARED_SHARE if is_open("copies_near_cap") else BACKLOG_NEAR_SHARE
    if facts.copy_bytes_max and facts.copy_bytes >= share * facts.copy_bytes_max:
        said = (("used", spoken_bytes(facts.copy_bytes)), ("cap", spoken_bytes(facts.copy_bytes_max)))
        found.append(Finding("copies_near_cap", facts=said))
    known = (
        ("copies_near_cap", is_copies_known),
        ("disk_low", facts.free_bytes is not None),
        ("notices_undelivered", facts.is_delivery_known),
    )
    return Judgement(tuple(found), frozenset(code for code, is_known in known if not is_known))


def _machine(place: str, facts: SiteFacts | HubFacts, is_open: IsOpen) -> Iterator[Finding]:
    if facts.storage_problem:
        yield Finding("storage_failed", facts=(("why", sentence(facts.storage_problem)),))
    limit = facts.warn_bytes * (DISK_LOW_CLEARED_FACTOR if is_open("disk_low") else 1)
    if facts.free_bytes is not None and facts.free_bytes < limit:
        said = (("free", spoken_bytes(facts.free_bytes)), ("limit", spoken_bytes(facts.warn_bytes)))
        yield Finding("disk_low", facts=said)
    if facts.certificate_warning:
        yield Finding("certificate", facts=(("place", place), ("why", sentence(facts.certificate_warning))))


def _notices(facts: SiteFacts | HubFacts) -> Iterator[Finding]:
    for channel, why, waiting in facts.undelivered:
        said = (("channel", channel), ("why", sentence(why)), ("waiting", spoken_count(waiting)))
        yield Finding("notices_undelivered", subject=channel, facts=said)


def _clock(facts: SiteFacts, is_open: IsOpen) -> Iterator[Finding]:
    if why := clock_doubt(facts):
        yield Finding("clock_in_doubt", facts=(("why", why),))
        return
    other, off_ms = _further(facts)
    if abs(off_ms) > (CLOCK_OFF_MS_MAX // 2 if is_open("clock_off") else CLOCK_OFF_MS_MAX):
        said = (
            ("off", spoken_duration(abs(off_ms))),
            ("way", "behind" if off_ms > 0 else "ahead of"),
            ("other", other),
        )
        yield Finding("clock_off", facts=said)


def clock_doubt(facts: SiteFacts) -> str:
    """Say in a sentence why the clock is in doubt (G5); empty where it is not."""
    if facts.clock_jumped_ms:
        way = "forward" if facts.clock_jumped_ms > 0 else "back"
        if facts.clock_was_away:
            moved = spoken_duration(abs(facts.clock_jumped_ms))
            return f"It moved {way} by {moved} between two runs, and neither hub nor peer has confirmed it yet."
        return f"It jumped {way} by {spoken_duration(abs(facts.clock_jumped_ms))}."
    other, off_ms = _further(facts)
    if abs(off_ms) > CLOCK_JUMP_MS_MAX:
        return f"It differs from the {other}'s by {spoken_duration(abs(off_ms))}."
    return ""


def _further(facts: SiteFacts) -> tuple[str, int]:
    if abs(facts.hub_off_ms) > abs(facts.peer_off_ms):
        return "hub", facts.hub_off_ms
    return "peer", facts.peer_off_ms


# --- words --------------------------------------------------------------------------------------------------------------


def sentence(text: str) -> str:
    """Return what an error says as a sentence: errors of libraries begin small and have no full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def spoken_count(count: int) -> str:
    """Return a count for people."""
    return f"{count:,}"


def spoken_bytes(count: int) -> str:
    """Return an amount for people, as in `1.5 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def spoken_duration(duration_ms: int) -> str:
    """Return a duration for people in its largest unit, as in `5 h`."""
    seconds = duration_ms / SECOND_MS
    for unit, length_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"
