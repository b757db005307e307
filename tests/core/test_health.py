"""The judge of health and the book of repairs (G9, N2): facts and time in, states and repairs out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.core.health import (
    ConnectorFacts,
    DamagedFact,
    FlowState,
    HubFacts,
    LinkFacts,
    ResourceFact,
    SiteFacts,
    judge_connector,
    judge_flow,
    judge_hub,
    judge_site,
    spoken_bytes,
    spoken_duration,
)
from shared.core.repair_kinds import REPAIRS
from shared.core.repairs import Finding, Judgement, Repair, RepairBook
from shared.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

NOW_MS = 1_800_000_000_000
LINKED = LinkFacts(
    is_paired=True, is_linked=True, was_linked=True, peer_is_linked=True, round_trip_ms=2.0, starved=False
)
AWAY = LinkFacts(is_paired=True, was_linked=True, unlinked_ms=NOW_MS - 2 * MINUTE_MS, problem="no route to the hub")
PAIRED = ConnectorFacts("C", LINKED, pairing="paired", peer="riverside", bytes_max=1_000, retention_ms=10 * DAY_MS)

_DAMAGED = DamagedFact("C", "boilers", 300, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


def never(_code: str) -> bool:
    return False


def always(_code: str) -> bool:
    return True


def codes(judgement: Judgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


def judged(facts: ConnectorFacts) -> list[str]:
    return codes(judge_connector(facts, NOW_MS, never))


# --- states -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "state"),
    [
        (LINKED, FlowState.CONNECTED),
        (replace(LINKED, waited_ms=59 * SECOND_MS), FlowState.CONNECTED),
        (replace(LINKED, waited_ms=60 * SECOND_MS), FlowState.STALLED),
        (replace(LINKED, peer_is_linked=False), FlowState.PEER_OFFLINE),
        (replace(LINKED, silent_s=2), FlowState.CONNECTED),
        (replace(LINKED, silent_s=3, peer_is_linked=False), FlowState.HUB_SILENT),
        (replace(LINKED, canary_lost_ms=NOW_MS - 6_000), FlowState.PEER_SILENT),
        (replace(AWAY, unlinked_ms=NOW_MS - 1_000), FlowState.RECONNECTING),
        (replace(AWAY, unlinked_ms=NOW_MS, was_linked=False), FlowState.CONNECTING),
        (AWAY, FlowState.OFFLINE),
        (replace(LINKED, is_disabled=True), FlowState.DISABLED),
        (replace(LINKED, is_paired=False), FlowState.NOT_PAIRED),
    ],
)
def test_a_link_that_moves_nothing_is_stalled_and_not_connected(link: LinkFacts, state: FlowState) -> None:
    assert judge_flow(link, NOW_MS).state is state


# --- findings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (PAIRED, []),
        (replace(PAIRED, link=replace(LINKED, peer_is_linked=False)), ["peer_offline"]),
        (replace(PAIRED, link=replace(LINKED, waited_ms=MINUTE_MS, moved=False)), ["stalled"]),
        (replace(PAIRED, link=replace(LINKED, canary_lost_ms=NOW_MS - 59_000)), []),
        (replace(PAIRED, link=replace(LINKED, canary_lost_ms=NOW_MS - 60_000)), ["no_answer"]),
        (replace(PAIRED, link=replace(LINKED, peer_is_linked=False, silent_s=9)), ["peer_offline"]),
        (replace(PAIRED, link=replace(LINKED, starved=True)), []),  # nothing waits
        (replace(PAIRED, link=replace(LINKED, starved=True), waiting_bytes=1), ["no_credit"]),
        (replace(PAIRED, waiting_bytes=799), []),
        (replace(PAIRED, waiting_bytes=800), ["backlog_near_cap"]),
        (replace(PAIRED, oldest_waiting_ms=NOW_MS - 8 * DAY_MS + 1), []),
        (replace(PAIRED, oldest_waiting_ms=NOW_MS - 8 * DAY_MS), ["backlog_near_retention"]),
        (replace(PAIRED, oldest_held_ms=NOW_MS - 24 * DAY_MS + 1), []),
        (replace(PAIRED, oldest_held_ms=NOW_MS - 24 * DAY_MS), ["held_near_retention"]),
        (replace(PAIRED, oldest_waiting_ms=0, oldest_held_ms=0, ages_are_doubted=True), []),
        (replace(PAIRED, drain_bytes_per_s=10, waiting_bytes=36_000, bytes_max=0), []),
        (replace(PAIRED, drain_bytes_per_s=10, waiting_bytes=36_010, bytes_max=0), ["drain_budget"]),
        (replace(PAIRED, quarantined=3), ["quarantine"]),
        (replace(PAIRED, quarantine_is_full=True, link=replace(LINKED, waited_ms=MINUTE_MS)), ["quarantine_full"]),
        (
            replace(PAIRED, quarantine_is_full_there=True, link=replace(LINKED, starved=True), waiting_bytes=1),
            ["quarantine_full_there"],
        ),
        (replace(PAIRED, parting_asked_by="anna"), ["parting_asked"]),
        (replace(PAIRED, resources=(ResourceFact("flow", "missing_there"),)), ["resource_missing_there"]),
        (replace(PAIRED, resources=(ResourceFact("flow", "missing_here"),)), ["resource_missing_here"]),
        (replace(PAIRED, resources=(ResourceFact("flow", "different", ("unit",)),)), ["resource_different"]),
        (replace(PAIRED, untold=3), ["resources_untold"]),
        (replace(PAIRED, untold=3, pairing="none"), ["resources_untold"]),
        (replace(PAIRED, link=replace(AWAY, problem_code="duplicate_instance")), ["duplicate_instance"]),
        (replace(PAIRED, link=replace(AWAY, problem_code="version_mismatch")), ["version_mismatch"]),
        (replace(PAIRED, link=AWAY), []),  # the hub is away for all: one repair of the site
        (replace(PAIRED, link=AWAY, hub_is_reached=True), ["link_problem"]),
        (replace(PAIRED, pairing="none", link=AWAY), []),  # it is being tried
        (replace(PAIRED, pairing="none", link=replace(AWAY, is_wanted=False)), ["pairing_failed"]),
        (replace(PAIRED, pairing="pending", link=AWAY, site_is_refused=True), []),
        (replace(PAIRED, pairing="pending", link=AWAY), ["pairing_incomplete"]),
        (replace(PAIRED, quarantined=3, link=replace(LINKED, is_disabled=True)), []),
    ],
)
def test_each_trouble_of_a_connector_has_its_code(facts: ConnectorFacts, found: list[str]) -> None:
    assert judged(facts) == found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (SiteFacts(), []),
        (SiteFacts(storage_problem="disk I/O error"), ["storage_failed"]),
        (SiteFacts(read_problem="no such table"), ["database_unreadable"]),
        (SiteFacts(free_bytes=999, warn_bytes=1_000), ["disk_low"]),
        (SiteFacts(free_bytes=1_000, warn_bytes=1_000), []),
        (SiteFacts(certificate_warning="it ends in 3 days"), ["certificate"]),
        (SiteFacts(hub_off_ms=30_000, peer_off_ms=-30_000), []),
        (SiteFacts(hub_off_ms=30_001), ["clock_off"]),
        (SiteFacts(peer_off_ms=-HOUR_MS), ["clock_off"]),
        (SiteFacts(peer_off_ms=-HOUR_MS - 1), ["clock_in_doubt"]),
        (SiteFacts(clock_jumped_ms=5 * HOUR_MS), ["clock_in_doubt"]),
        (SiteFacts(enrolment_problem="token used"), ["not_enrolled"]),
        (SiteFacts(undelivered=(("webhook", "it answered 500", 3),)), ["notices_undelivered"]),
        (SiteFacts(stopped=("folding history",)), ["work_stopped"]),
        (SiteFacts(damaged=(_DAMAGED, replace(_DAMAGED, connector_id="D"))), ["history_damaged", "history_damaged"]),
    ],
)
def test_each_trouble_of_a_site_has_its_code(facts: SiteFacts, found: list[str]) -> None:
    assert codes(judge_site(facts, [], never)) == found


def test_a_hub_that_no_link_reaches_is_one_repair_of_the_site() -> None:
    away = [replace(PAIRED, connector_id=str(at), link=AWAY) for at in range(200)]

    assert codes(judge_site(SiteFacts(), away, never)) == ["hub_unreachable"]
    assert codes(judge_site(SiteFacts(), [*away, PAIRED], never)) == []
    assert codes(judge_site(SiteFacts(), [replace(PAIRED, pairing="none", link=AWAY)], never)) == []


def test_what_a_start_has_not_asked_yet_clears_nothing() -> None:
    asked = SiteFacts(free_bytes=5)
    unasked = SiteFacts(is_delivery_known=False, is_enrolment_known=False, damaged=None)
    assert judge_site(asked, [PAIRED], never).unknown == frozenset()
    unknown = judge_site(unasked, [replace(PAIRED, link=AWAY)], never).unknown
    assert unknown == {
        "disk_low",
        "history_damaged",
        "notices_undelivered",
        "not_enrolled",
        "clock_off",
        "clock_in_doubt",
    }


def test_figures_end_a_repair_later_than_they_began_it() -> None:
    assert codes(judge_site(SiteFacts(free_bytes=1_200, warn_bytes=1_000), [], always)) == ["disk_low"]
    assert codes(judge_site(SiteFacts(free_bytes=1_250, warn_bytes=1_000), [], always)) == []
    assert codes(judge_site(SiteFacts(hub_off_ms=16_000), [], always)) == ["clock_off"]
    assert codes(judge_site(SiteFacts(hub_off_ms=15_000), [], always)) == []
    near = replace(PAIRED, waiting_bytes=700)
    assert codes(judge_connector(near, NOW_MS, always)) == ["backlog_near_cap"]
    assert codes(judge_connector(replace(near, waiting_bytes=699), NOW_MS, always)) == []


def test_a_hub_is_told_of_its_machine_and_its_copies() -> None:
    facts = HubFacts("disk full", 5, 10, "it ended", 80, 100)
    assert codes(judge_hub(facts, never)) == ["storage_failed", "disk_low", "certificate", "copies_near_cap"]
    assert codes(judge_hub(HubFacts(copy_bytes=79, copy_bytes_max=100), never)) == []


def test_every_kind_fills_its_words_from_what_the_judge_gives() -> None:
    everything = replace(
        PAIRED,
        link=replace(LINKED, starved=True, canary_lost_ms=0, waited_ms=MINUTE_MS),
        resources=(
            ResourceFact("a", "missing_there"),
            ResourceFact("b", "missing_here"),
            ResourceFact("c", "different", ("unit",)),
        ),
        untold=1_200,
        quarantined=2,
        parting_asked_by="",
        waiting_bytes=999_999,
        drain_bytes_per_s=1,
        oldest_waiting_ms=0,
        oldest_held_ms=0,
    )
    found = [*judge_connector(everything, NOW_MS, never).findings]
    full = replace(PAIRED, quarantine_is_full=True, quarantine_is_full_there=True)
    found += judge_connector(full, NOW_MS, never).findings
    for link in (replace(LINKED, peer_is_linked=False), replace(LINKED, problem="x")):
        found += judge_connector(replace(PAIRED, link=link), NOW_MS, never).findings
    for code in ("duplicate_instance", "version_mismatch"):
        found += judge_connector(replace(PAIRED, link=replace(AWAY, problem_code=code)), NOW_MS, never).findings
    for pairing in ("none", "pending"):
        found += judge_connector(
            replace(PAIRED, pairing=pairing, link=replace(AWAY, is_wanted=False)), NOW_MS, never
        ).findings
    site = SiteFacts(
        storage_problem="s",
        read_problem="r",
        free_bytes=1,
        warn_bytes=2,
        certificate_warning="c",
        hub_off_ms=40_000,
        enrolment_problem="e",
        undelivered=(("webhook", "w", 1),),
        stopped=("folding history",),
        damaged=(_DAMAGED,),
    )
    found += judge_site(site, [], never).findings
    doubted = replace(site, clock_jumped_ms=HOUR_MS * 2, enrolment_problem="")
    found += judge_site(doubted, [replace(PAIRED, link=AWAY)], never).findings
    found += judge_hub(HubFacts("s", 1, 2, "c", 80, 100), never).findings

    assert {finding.code for finding in found} == set(REPAIRS)
    for finding in found:
        repair = Repair(finding, NOW_MS)
        for words in (repair.title, repair.cause, repair.means, repair.fix):
            assert words, finding.code
            assert "?" not in words, (finding.code, words)
            assert "{" not in words, (finding.code, words)


# --- the book -------------------------------------------------------------------------------------------------------------


class Look:
    """A book, fed once a second."""

    def __init__(self) -> None:
        self.book = RepairBook()
        self.now_ms = 5_000
        self.seen: list[tuple[str, bool]] = []

    def at(self, *found: str, for_s: int = 1, unknown: frozenset[str] = frozenset()) -> None:
        """Let these codes hold for so many seconds."""
        for _ in range(for_s):
            judgement = Judgement(tuple(Finding(code, "C") for code in found), unknown)
            self.book.observe("C", judgement, wall_ms=NOW_MS + self.now_ms, now_ms=self.now_ms)
            self.now_ms += 1_000
            self.seen += [(repair.finding.code, repair.cleared_ms is None) for repair in self.book.take_changes()]


def test_a_repair_is_raised_once_after_it_held_for_a_while_and_says_since_when() -> None:
    look = Look()
    look.at("peer_offline", for_s=120)
    assert look.seen == []
    look.at("peer_offline", for_s=600)

    assert look.seen == [("peer_offline", True)]
    assert [repair.since_ms for repair in look.book.open()] == [NOW_MS + 5_000]


def test_what_flaps_is_neither_raised_nor_cleared() -> None:
    look = Look()
    for _ in range(200):
        look.at("peer_offline", for_s=30)
        look.at(for_s=1)
    assert look.seen == []

    look.at("peer_offline", for_s=121)
    for _ in range(200):
        look.at(for_s=9)
        look.at("peer_offline", for_s=1)
    assert look.seen == [("peer_offline", True)]

    look.at(for_s=11)
    assert look.seen == [("peer_offline", True), ("peer_offline", False)]
    assert look.book.open() == ()


def test_what_a_link_that_is_up_disproves_is_not_shown_meanwhile_and_comes_back_as_the_same() -> None:
    look = Look()
    look.at("peer_offline", "stalled", for_s=121)
    look.at("stalled")
    assert [repair.finding.code for repair in look.book.shown()] == ["stalled"]
    assert look.book.is_open("peer_offline", "C")
    look.at("peer_offline")
    assert {repair.finding.code for repair in look.book.shown(("C",))} == {"peer_offline", "stalled"}
    look.at(for_s=2)
    assert [repair.finding.code for repair in look.book.shown()] == ["stalled"]  # figures stay calm
    assert look.seen == [("stalled", True), ("peer_offline", True)]


def test_what_cannot_be_known_now_stays_as_it_is() -> None:
    look = Look()
    look.at("stalled")
    look.at(for_s=600, unknown=frozenset({"stalled"}))
    assert look.seen == [("stalled", True)]


def test_a_wall_clock_that_jumps_raises_nothing() -> None:
    book = RepairBook()
    held = Judgement((Finding("peer_offline", "C"),))
    book.observe("C", held, wall_ms=NOW_MS, now_ms=0)
    book.observe("C", held, wall_ms=NOW_MS + 365 * DAY_MS, now_ms=1_000)
    assert book.take_changes() == []


def test_people_are_told_once_of_what_stands_and_not_again_after_a_restart() -> None:
    look = Look()
    look.at("stalled")
    assert look.book.take_untold(look.now_ms, 30_000) == []
    told = look.book.take_untold(look.now_ms + 30_000, 30_000)
    assert [repair.told for repair in told] == [True]
    assert look.book.take_untold(look.now_ms + 60_000, 30_000) == []

    again = Look()
    again.book.load(told, again.now_ms)
    again.at("stalled", for_s=60)
    assert again.seen == []
    assert again.book.take_untold(again.now_ms + HOUR_MS, 0) == []
    again.at(for_s=12)
    assert again.seen == [("stalled", False)]


def test_a_restart_before_the_link_is_up_clears_nothing() -> None:
    book = RepairBook()
    book.load([Repair(Finding("peer_offline", "C"), NOW_MS, told=True)], 0)
    starting = replace(PAIRED, link=LinkFacts(is_paired=True, unlinked_ms=NOW_MS))
    for now_ms in range(0, 50_000, 1_000):
        book.observe("C", judge_connector(starting, NOW_MS, never), wall_ms=NOW_MS, now_ms=now_ms)
    assert book.take_changes() == []


def test_repairs_of_a_connector_that_is_gone_are_cleared() -> None:
    look = Look()
    look.at("stalled")
    look.book.keep_scopes(["D"], NOW_MS)
    assert [repair.cleared_ms for repair in look.book.take_changes()] == [NOW_MS]


def test_the_urgent_come_first_then_the_oldest() -> None:
    look = Look()
    look.at("resource_different")
    look.at("resource_different", "stalled")
    assert [repair.finding.code for repair in look.book.open()] == ["stalled", "resource_different"]


@pytest.mark.parametrize(
    ("amount", "words"), [(999, "999 B"), (1_536, "1.5 KiB"), (20 * 1024**2, "20 MiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_amounts_are_said_for_people(amount: int, words: str) -> None:
    assert spoken_bytes(amount) == words


@pytest.mark.parametrize(
    ("duration_ms", "words"),
    [(31_000, "31 s"), (90_000, "2 min"), (5 * HOUR_MS, "5 h"), (30 * HOUR_MS, "30 h"), (30 * DAY_MS, "30 days")],
)
def test_durations_are_said_for_people(duration_ms: int, words: str) -> None:
    assert spoken_duration(duration_ms) == words
