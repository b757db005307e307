"""The hub's rules of pairing: windows, claims, refusals."""

from __future__ import annotations

import pytest

from shared.core.registry import Registry, RegistryFrame, Tell
from shared.errors import ProtocolError
from shared.limits import (
    CLAIM_DEADLINE_MS,
    KNOCKS_PER_MINUTE_MAX,
    MINUTE_MS,
    WINDOW_MS,
    WINDOW_REMEMBERED_MS,
    WINDOWS_PER_SITE_MAX,
)
from shared.messages import (
    AnyFrame,
    Claim,
    ClaimRefused,
    ClaimStep,
    CloseWindow,
    Knock,
    Notice,
    OpenWindow,
    WindowOpened,
)
from tests.hub.builders import TestPair, TestSite

PLANT, OFFICE = TestSite("plant"), TestSite("office")
SOURCE = (PLANT.site_id, "SRC1-SRC1")
TARGET = (OFFICE.site_id, "TGT1-TGT1")
RIVAL = ("rival", "TGT1-TGT1")
NAMES = {SOURCE: "plant", TARGET: "office", RIVAL: "rival"}
WINDOW = b"window-1"
NOW = 1_000_000


def say(registry: Registry, connector: tuple[str, str], frame: RegistryFrame, now_ms: int = NOW) -> list[Tell]:
    return list(registry.on_frame(connector, NAMES[connector], frame, now_ms))


def opened(now_ms: int = NOW) -> Registry:
    registry = Registry()
    assert say(registry, SOURCE, OpenWindow(WINDOW, WINDOW_MS), now_ms) == [Tell(SOURCE, WindowOpened(WINDOW))]
    return registry


def claim(claim_id: bytes = b"claim--1", site: str = "plant", connector: str = "SRC1-SRC1") -> Claim:
    return Claim(claim_id, site, connector, b"offer")


def refusal(tells: list[Tell]) -> str:
    (tell,) = tells
    assert isinstance(tell.frame, ClaimRefused)
    return tell.frame.code


def frames(tells: list[Tell]) -> list[AnyFrame]:
    return [tell.frame for tell in tells]


def test_a_claim_knocks_at_the_source_with_the_claimants_enrolled_name() -> None:
    assert say(opened(), TARGET, claim()) == [Tell(SOURCE, Knock(b"claim--1", WINDOW, "office", b"offer"))]


def test_steps_pass_both_ways_and_a_refusal_ends_the_claim() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    step = ClaimStep(b"claim--1", b"body")
    assert say(registry, SOURCE, step) == [Tell(TARGET, step)]
    assert say(registry, TARGET, step) == [Tell(SOURCE, step)]
    refused = ClaimRefused(b"claim--1", "wrong_code", {"attempts_left": "2"})
    assert say(registry, SOURCE, refused) == [Tell(TARGET, refused)]
    assert refusal(say(registry, TARGET, step)) == "claim_timed_out"
    assert isinstance(say(registry, TARGET, claim(b"claim--2"))[0].frame, Knock)


def test_a_stranger_cannot_step_into_a_claim() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    assert refusal(say(registry, RIVAL, ClaimStep(b"claim--1", b"body"))) == "claim_timed_out"
    assert say(registry, RIVAL, ClaimRefused(b"claim--1", "wrong_code", {})) == []


def test_a_claim_is_refused_where_no_window_is_open() -> None:
    registry = opened()
    assert refusal(say(registry, TARGET, claim(site="nowhere"))) == "no_such_window"
    assert refusal(say(registry, TARGET, claim(connector="XXXX-XXXX"))) == "no_such_window"


def test_a_claim_is_refused_after_the_window_expired_and_forgotten_later() -> None:
    registry = opened()
    assert refusal(say(registry, TARGET, claim(), NOW + WINDOW_MS)) == "window_expired"
    assert refusal(say(registry, TARGET, claim(), NOW + WINDOW_MS + WINDOW_REMEMBERED_MS)) == "no_such_window"


def test_a_source_that_closes_its_window_at_the_end_leaves_word_of_its_expiry() -> None:
    registry = opened()
    say(registry, SOURCE, CloseWindow(WINDOW), NOW + WINDOW_MS - 10)
    assert refusal(say(registry, TARGET, claim(), NOW + WINDOW_MS - 5)) == "window_expired"


def test_a_closed_window_takes_no_claims() -> None:
    registry = opened()
    say(registry, SOURCE, CloseWindow(b"another-window"))
    assert len(registry.windows(NOW)) == 1
    say(registry, SOURCE, CloseWindow(WINDOW))
    assert refusal(say(registry, TARGET, claim())) == "no_such_window"


def test_only_one_claim_at_a_time() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    assert refusal(say(registry, RIVAL, claim(b"claim--2"))) == "source_busy"


def test_a_claim_that_is_not_finished_times_out_on_both_sides() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    assert registry.next_deadline() == NOW + CLAIM_DEADLINE_MS
    tells = registry.on_deadline(NOW + CLAIM_DEADLINE_MS)
    refused = ClaimRefused(b"claim--1", "claim_timed_out", {})
    assert tells == (Tell(SOURCE, refused), Tell(TARGET, refused))
    assert isinstance(say(registry, RIVAL, claim(b"claim--2"), NOW + CLAIM_DEADLINE_MS)[0].frame, Knock)


def test_the_window_of_a_source_that_went_away_waits_for_it() -> None:
    registry = opened()
    registry.on_unlinked(SOURCE)
    assert refusal(say(registry, TARGET, claim())) == "peer_not_linked"
    say(registry, SOURCE, OpenWindow(WINDOW, WINDOW_MS - 1))
    assert isinstance(say(registry, TARGET, claim(b"claim--2"))[0].frame, Knock)


def test_an_end_that_goes_away_ends_the_claim_for_the_other() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    assert registry.on_unlinked(TARGET) == (Tell(SOURCE, ClaimRefused(b"claim--1", "peer_not_linked", {})),)
    say(registry, TARGET, claim(b"claim--2"))
    assert registry.on_unlinked(SOURCE) == (Tell(TARGET, ClaimRefused(b"claim--2", "peer_not_linked", {})),)


def test_paired_connectors_take_no_further_claim() -> None:
    registry = opened()
    pair = TestPair(PLANT, OFFICE)
    say(registry, TARGET, claim())
    registry.on_paired(pair.certificate)
    assert registry.windows(NOW) == []
    assert registry.on_deadline(NOW + CLAIM_DEADLINE_MS) == ()
    assert refusal(say(registry, RIVAL, claim(b"claim--2"))) == "source_paired"
    assert refusal(say(registry, TARGET, claim(b"claim--3"))) == "target_paired"
    assert say(registry, SOURCE, OpenWindow(b"window-2", WINDOW_MS)) == [Tell(SOURCE, Notice("source_paired", {}))]
    registry.on_dissolved(pair.certificate)
    assert refusal(say(registry, TARGET, claim(b"claim--4"))) == "no_such_window"


def test_a_connector_cannot_claim_itself() -> None:
    assert refusal(say(opened(), SOURCE, claim())) == "same_connector"


def test_a_site_that_knocks_too_often_is_told_to_wait() -> None:
    registry = opened()
    for n in range(KNOCKS_PER_MINUTE_MAX):
        assert refusal(say(registry, TARGET, claim(b"claim-%02d" % n, site="nowhere"))) == "no_such_window"
    assert refusal(say(registry, TARGET, claim())) == "too_many_knocks"
    assert isinstance(say(registry, RIVAL, claim())[0].frame, Knock)
    assert isinstance(say(registry, TARGET, claim(b"claim--2"), NOW + MINUTE_MS)[-1].frame, Knock)


def test_a_window_filed_again_keeps_its_claim_and_gets_its_new_end() -> None:
    registry = opened()
    say(registry, TARGET, claim())
    say(registry, SOURCE, OpenWindow(WINDOW, 60_000), NOW + 1_000)
    (window,) = registry.windows(NOW + 1_000)
    assert (window.opened_ms, window.expires_ms) == (NOW, NOW + 61_000)
    assert registry.is_claimed(window)


def test_a_site_that_opens_windows_without_end_loses_its_oldest_and_nobody_elses() -> None:
    registry = opened()
    for n in range(2 * WINDOWS_PER_SITE_MAX):
        registry.on_frame(("rogue", f"C{n}"), "rogue", OpenWindow(b"window-1", WINDOW_MS), NOW)
    windows = registry.windows(NOW)
    assert len(windows) == 1 + WINDOWS_PER_SITE_MAX
    assert windows[0].source == SOURCE
    assert windows[-1].source == ("rogue", f"C{2 * WINDOWS_PER_SITE_MAX - 1}")


@pytest.mark.parametrize(
    "frame",
    [
        OpenWindow(b"", WINDOW_MS),
        OpenWindow(WINDOW, 0),
        Claim(b"", "plant", "SRC1-SRC1", b""),
        Claim(b"claim--1", "plant", "SRC1-SRC1", b"x" * 17_000),
        ClaimStep(b"claim--1", b"x" * 17_000),
        ClaimStep(b"c" * 65, b""),
        ClaimRefused(b"claim--1", "wrong_code", {"why": "x" * 2_000}),
        ClaimRefused(b"claim--1", "x" * 2_000, {}),
        ClaimRefused(b"c" * 65, "wrong_code", {}),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_frame_out_of_bounds_breaks_the_protocol(frame: RegistryFrame) -> None:
    with pytest.raises(ProtocolError):
        say(opened(), SOURCE, frame)
