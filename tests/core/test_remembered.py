"""What outbox and inbox remember of their store is what the store says, whatever happened to what waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connector.streams import Streams
from shared.core.entries import CAUSE_HELD_TOO_LONG, CAUSE_RETENTION
from shared.core.gaps import GapTally
from shared.core.outbox import Outbox
from shared.limits import RETENTION_MS
from tests.core.stores import NOW_MS, add_device, open_store, series
from tests.core.test_inbox import inbox, sealed
from tests.core.test_outbox import accept, linked, outbox, state


def settled(store: Streams, box: Outbox) -> None:
    state(store, box, [1, 1], applied=1)


def given_up(store: Streams, box: Outbox) -> None:
    box.expire(store, NOW_MS + RETENTION_MS, GapTally(CAUSE_RETENTION))


def closed(store: Streams, box: Outbox) -> None:
    state(store, box, [], applied=0, closed=[1, 1])


@pytest.mark.parametrize("happens", [settled, given_up, closed])
def test_the_head_of_the_outbox_and_its_deadline_follow_what_waits(happens: Callable[[Streams, Outbox], None]) -> None:
    store = open_store()
    box = linked(store, outbox(store))
    assert (box.first_row(store), box.next_deadline_ms(store)) == (0, None)
    accept(store, box, 1)
    accept(store, box, 2, now_ms=NOW_MS + 5)
    assert (box.first_row(store), box.next_deadline_ms(store)) == (1, NOW_MS + RETENTION_MS)
    happens(store, box)
    assert box.first_row(store) == store.first_segment_row() > 0
    oldest_ms = store.oldest_accepted_ms()
    assert oldest_ms == NOW_MS + 5
    assert box.next_deadline_ms(store) == oldest_ms + RETENTION_MS


def test_the_deadline_of_what_is_held_follows_what_is_held() -> None:
    store, box = open_store(devices=()), inbox()
    assert box.next_deadline_ms(store) is None
    box.on_segment(store, *sealed(1, series(1)), NOW_MS)
    box.on_segment(store, *sealed(2, series(2, device="e")), NOW_MS + 5)
    assert box.next_deadline_ms(store) == NOW_MS + RETENTION_MS
    add_device(store, "d")
    box.release_held(store, "d", None, 0, NOW_MS + 9, GapTally("device_replaced"))
    assert box.next_deadline_ms(store) == NOW_MS + 5 + RETENTION_MS
    box.expire_held(store, NOW_MS + 5 + RETENTION_MS, GapTally(CAUSE_HELD_TOO_LONG))
    assert box.next_deadline_ms(store) is None
