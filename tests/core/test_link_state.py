"""How long a connector waits before it dials again."""

from __future__ import annotations

from shared.core.link_state import Backoff
from shared.limits import BACKOFF_FIRST_MS, BACKOFF_HEALTHY_MS, BACKOFF_LAST_MS

LATE = 1 - 2**-24  # the greatest chance there is


def waits(backoff: Backoff, count: int, chance: float) -> list[int]:
    return [backoff.next_ms(lived_ms=0, chance=chance) for _ in range(count)]


def test_waits_double_up_to_half_a_minute_and_stay_there() -> None:
    found = waits(Backoff(), 40, LATE)
    assert found[:4] == [BACKOFF_FIRST_MS * 2**failures - 1 for failures in range(4)]
    assert max(found) == found[7] == found[-1] == BACKOFF_LAST_MS - 1


def test_a_wait_is_never_shorter_than_a_quarter_of_its_bound() -> None:
    assert waits(Backoff(), 2, 0.0) == [BACKOFF_FIRST_MS // 4, BACKOFF_FIRST_MS // 2]
    assert waits(Backoff(), 40, 0.0)[-1] == BACKOFF_LAST_MS // 4


def test_a_link_that_lived_lets_waits_begin_afresh_and_one_that_did_not_does_not() -> None:
    backoff = Backoff()
    waits(backoff, 10, LATE)
    assert backoff.next_ms(lived_ms=BACKOFF_HEALTHY_MS - 1, chance=LATE) == BACKOFF_LAST_MS - 1
    assert backoff.next_ms(lived_ms=BACKOFF_HEALTHY_MS, chance=LATE) == BACKOFF_FIRST_MS - 1
