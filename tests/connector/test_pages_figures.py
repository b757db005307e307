"""What the overview makes of links and samples over time, without a site or a clock."""

from dataclasses import replace

import pytest

from connector.accounts import Account, Backlog
from connector.connectors import Connector, Pair
from connector.pages.overview import cause_words
from connector.pages.resource_forms import read_allowed
from connector.pages.resource_rows import allowed_text
from connector.pages.samples import BEAT_S, KEPT_S, Sample, Track, beats, rates
from connector.pages.situation import Stored, stalled_ms, unlinked_status
from connector.runtime import LinkView
from shared.core.completion import PairState
from shared.core.health import FlowState
from shared.core.link_state import LinkState
from shared.core.parting import PartingTalk
from shared.limits import MINUTE_MS
from shared.sealing import Side

NOW_MS = 1_800_000_000_000
LINKED = LinkView(LinkState.LINKED, NOW_MS, 2.0, 0, True, "", 0, 0)
WAITING = LinkView(LinkState.WAITING, NOW_MS, 0.0, NOW_MS + 4_000, False, "gone", 0, 0)
CONNECTING = replace(WAITING, state=LinkState.CONNECTING)


def at(seconds: float, *, taken: int = 0, applied: int = 0, link: FlowState = FlowState.CONNECTED) -> Sample:
    return Sample(NOW_MS + round(seconds * 1000), taken, applied, 0, link)


# --- links --------------------------------------------------------------------------------------------------------------


def test_a_first_attempt_is_connecting_and_a_later_one_reconnecting() -> None:
    track = Track()
    track.observe(CONNECTING, NOW_MS)
    assert unlinked_status(CONNECTING, track, NOW_MS).state is FlowState.CONNECTING

    track.observe(LINKED, NOW_MS + 1)
    track.observe(CONNECTING, NOW_MS + 2)
    assert unlinked_status(CONNECTING, track, NOW_MS + 2).state is FlowState.RECONNECTING


def test_a_lost_link_counts_down_to_its_next_attempt() -> None:
    track = Track()
    track.observe(WAITING, NOW_MS)

    status = unlinked_status(WAITING, track, NOW_MS + 1_000)

    assert (status.state, status.retry_in_s) == (FlowState.RECONNECTING, 3.0)


def test_a_link_that_stays_away_is_off_line_since_it_went_not_since_the_last_attempt() -> None:
    track = Track()
    for minute in range(3):
        track.observe(WAITING, NOW_MS + minute * MINUTE_MS)
        track.observe(CONNECTING, NOW_MS + minute * MINUTE_MS + 1)

    status = unlinked_status(WAITING, track, NOW_MS + 2 * MINUTE_MS)

    assert (status.state, status.since_ms) == (FlowState.OFFLINE, NOW_MS)


def test_the_moment_at_which_the_peer_left_is_kept() -> None:
    track = Track()
    track.observe(LINKED, NOW_MS)
    track.observe(replace(LINKED, peer_linked=False), NOW_MS + 7)
    track.observe(replace(LINKED, peer_linked=False), NOW_MS + 9)

    assert (track.peer_left_ms, track.peer_unlinked_ms, track.peer_linked_ms) == (NOW_MS + 7, NOW_MS + 7, None)


# --- stalls (G9) --------------------------------------------------------------------------------------------------------


def pair(side: Side) -> Pair:
    return Pair("C", b"p", side, PairState.PAIRED, b"", b"", "F", "s", "riverside", "D", b"", 0, 0, 0, True)


def stored(
    *,
    oldest_ms: int | None = None,
    applied_ms: int | None = None,
    stated: Account | None = None,
    arrived_ms: int | None = None,
) -> Stored:
    connector = Connector("C", "Pump house", "source", 0, disabled=False, creates_devices=False)
    backlog = Backlog(0, 0, oldest_ms, applied_ms)
    return Stored(connector, None, stated, backlog, arrived_ms, [], 0, PartingTalk(), oldest_ms)


TOGETHER = Track(linked_ms=NOW_MS - 60 * MINUTE_MS, peer_linked_ms=NOW_MS - 50 * MINUTE_MS)


@pytest.mark.parametrize(
    ("oldest", "applied", "expected"),
    [
        (None, None, 0),  # nothing waits
        (3, None, 3),  # waits for three minutes, nothing ever applied
        (3, 1, 1),  # applied something a minute ago
        (90, 70, 50),  # waited while the peer was away: counts from when both were there
    ],
)
def test_a_source_stalls_from_the_last_progress(oldest: int | None, applied: int | None, expected: int) -> None:
    state = stored(
        oldest_ms=None if oldest is None else NOW_MS - oldest * MINUTE_MS,
        applied_ms=None if applied is None else NOW_MS - applied * MINUTE_MS,
    )

    assert stalled_ms(pair(Side.SOURCE), state, TOGETHER, NOW_MS, peer_ahead_ms=0) == expected * MINUTE_MS


@pytest.mark.parametrize(
    ("waiting", "stated", "arrived", "ahead", "expected"),
    [
        (0, 0, 9, 0, 0),  # the source says that nothing waits
        (5, 0, 4, 0, 4),  # it said so just now, and nothing came for four minutes
        (5, 4, 4, 0, 0),  # its word is as old as the last arrival: no news
        (5, 0, 4, 3, 1),  # its clock is three minutes ahead
    ],
)
def test_a_target_stalls_by_what_the_source_states(
    waiting: int, stated: int, arrived: int, ahead: int, expected: int
) -> None:
    said = Account(10, 5, waiting, 0, 0, outbox=waiting, stated_ms=NOW_MS - stated * MINUTE_MS)
    state = stored(stated=said, arrived_ms=NOW_MS - arrived * MINUTE_MS)

    found = stalled_ms(pair(Side.TARGET), state, TOGETHER, NOW_MS, peer_ahead_ms=ahead * MINUTE_MS)

    assert max(0, found) == expected * MINUTE_MS


def test_held_readings_do_not_make_a_target_stall() -> None:
    said = Account(10, 5, 5, 0, 0, held=5, stated_ms=NOW_MS)

    assert stalled_ms(pair(Side.TARGET), stored(stated=said), TOGETHER, NOW_MS, peer_ahead_ms=0) == 0


# --- samples ------------------------------------------------------------------------------------------------------------


def test_rates_are_per_second_between_samples_and_never_negative() -> None:
    samples = (at(0, taken=0), at(5, taken=50), at(10, taken=75), at(15, taken=0), at(15, taken=9))

    assert rates(samples, "taken") == (10.0, 5.0, 0.0, 0.0)
    assert rates((), "taken") == ()


def test_beats_span_the_kept_time_and_show_the_worst_of_each_slice() -> None:
    slice_start = NOW_MS // (BEAT_S * 1000) * BEAT_S * 1000
    base = (slice_start - NOW_MS) / 1000
    samples = (
        at(base - 4 * BEAT_S, applied=1, link=FlowState.NOT_PAIRED),
        at(base - 3 * BEAT_S, applied=1),
        at(base - 3 * BEAT_S + 5, applied=9),
        at(base - 2 * BEAT_S, applied=20),
        at(base - 2 * BEAT_S + 5, applied=20, link=FlowState.RECONNECTING),
        at(base - BEAT_S, applied=20, link=FlowState.OFFLINE),
        at(base - BEAT_S + 5, applied=20, link=FlowState.STALLED),
        at(base, applied=20),
    )

    found = beats(samples, NOW_MS)

    assert len(found) == KEPT_S // BEAT_S
    assert [beat.state.value for beat in found[-6:]] == [
        "unknown",
        "unknown",
        "flowing",
        "offline",
        "stalled",
        "quiet",
    ]
    assert found[-1].start_ms == slice_start


# --- words --------------------------------------------------------------------------------------------------------------


def test_causes_of_gaps_are_said_in_words() -> None:
    assert cause_words("retention", 30) == "older than 30 days"
    assert cause_words("retention", 0.5) == "older than 12 h"
    assert cause_words("of_a_newer_release", 30) == "of a newer release"


@pytest.mark.parametrize(
    ("typed", "format_", "read", "shown"),
    [
        ("", "number", None, ""),
        ("0..16", "number", {"low": 0.0, "high": 16.0}, "0 to 16"),
        (" ..1.5", "number", {"low": None, "high": 1.5}, "at most 1.5"),
        ("-3..", "number", {"low": -3.0, "high": None}, "at least -3"),
        ("1, 2.5", "number", {"any": [1.0, 2.5]}, "one of 1, 2.5"),
        ("idle, running,", "string", {"any": ["idle", "running"]}, "one of idle, running"),
        ("True", "boolean", {"any": [True]}, "one of true"),
    ],
)
def test_what_is_allowed_is_read_and_shown(typed: str, format_: str, read: dict | None, shown: str) -> None:
    assert read_allowed(typed, format_) == read
    assert allowed_text(read) == shown
