"""The control log: in order, once in effect, carried over, never lost (G12)."""

from __future__ import annotations

import pytest

from connector.streams import Streams
from shared.core.control import ControlDestination, ControlOrigin, OutgoingEntry, Taken
from shared.core.entries import CellsEntry, EpochsOverEntry
from shared.core.intervals import IntervalSet
from shared.errors import Refused
from shared.limits import CONTROL_IN_FLIGHT_MAX, DAY_MS
from shared.sealing import Header, Side
from tests.core.stores import NOW_MS, chance, keys, open_store, rows, with_page_lost

ENTRY = CellsEntry([])


def origin(store: Streams, seed: int = 1) -> ControlOrigin:
    log = ControlOrigin(keys(Side.SOURCE), chance(seed).randbytes)
    log.renew(store, NOW_MS)
    return log


def numbers(sent: list[OutgoingEntry]) -> list[int]:
    return [Header.unpack(entry.header).number for entry in sent]


def fill(store: Streams, log: ControlOrigin, count: int) -> None:
    for mark in range(count):
        log.append(store, EpochsOverEntry([mark]), NOW_MS)


def test_entries_go_out_in_order_and_only_so_many_without_a_word() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, CONTROL_IN_FLIGHT_MAX + 5)
    assert log.pump(store) == []
    log.on_link_opened(IntervalSet())
    assert numbers(log.pump(store)) == list(range(1, CONTROL_IN_FLIGHT_MAX + 1))
    assert log.on_stated(store, {log.epoch: 3}, fresh=False) == (True, False)
    assert numbers(log.pump(store)) == [CONTROL_IN_FLIGHT_MAX + 1, CONTROL_IN_FLIGHT_MAX + 2, CONTROL_IN_FLIGHT_MAX + 3]


def test_a_new_link_goes_on_behind_what_was_acknowledged_on_another() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, 2 * CONTROL_IN_FLIGHT_MAX)
    log.on_link_opened(IntervalSet())
    log.pump(store)
    log.on_stated(store, {log.epoch: CONTROL_IN_FLIGHT_MAX}, fresh=False)
    log.on_link_closed()
    log.on_link_opened(IntervalSet())
    assert numbers(log.pump(store)) == list(range(CONTROL_IN_FLIGHT_MAX + 1, 2 * CONTROL_IN_FLIGHT_MAX + 1))


def test_what_the_hub_holds_is_not_sent_and_does_not_count() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, CONTROL_IN_FLIGHT_MAX + 2)
    log.on_link_opened(IntervalSet([1, CONTROL_IN_FLIGHT_MAX + 1]))
    assert numbers(log.pump(store)) == []
    log.on_stated(store, {log.epoch: 2}, fresh=False)
    assert numbers(log.pump(store)) == [CONTROL_IN_FLIGHT_MAX + 2]


def test_a_new_start_carries_over_what_is_not_acknowledged_in_order() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, 5)
    log.on_stated(store, {log.epoch: 2}, fresh=False)
    before = [row.entry for row in store.control_rows(0, 10)]
    again = origin(store, seed=2)
    carried = store.control_rows(0, 10)
    assert [row.entry for row in carried] == before
    assert [(row.epoch, row.number) for row in carried] == [(again.epoch, 1), (again.epoch, 2), (again.epoch, 3)]
    assert again.epoch != log.epoch


def test_words_about_an_earlier_epoch_take_nothing_from_this_one() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, 3)
    again = origin(store, seed=2)
    assert again.on_stated(store, {log.epoch: 3}, fresh=True) == (False, False)
    assert len(store.control_rows(0, 10)) == 3


def test_a_word_beyond_what_was_said_acknowledges_no_more_than_that() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, 2)
    log.on_stated(store, {log.epoch: 99}, fresh=False)
    fill(store, log, 1)
    log.on_link_opened(IntervalSet())
    assert numbers(log.pump(store)) == [3]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_fresh_word_that_lacks_what_was_acknowledged_tells_of_a_restore_even_after_a_restart(
    restarted: bool,
) -> None:
    store = open_store()
    log = origin(store)
    epoch = log.epoch
    fill(store, log, 3)
    log.on_stated(store, {epoch: 3}, fresh=False)
    if restarted:
        log = origin(store, seed=2)
    assert log.on_stated(store, {epoch: 1}, fresh=False) == (False, False)
    assert log.on_stated(store, {epoch: 1}, fresh=True) == (False, True)
    assert log.on_stated(store, {epoch: 1}, fresh=True) == (False, False)  # it was told already


def test_an_origin_that_was_restored_itself_does_not_take_its_peer_for_restored() -> None:
    store = open_store()
    log = origin(store)
    fill(store, log, 1)
    log.on_stated(store, {log.epoch: 1}, fresh=False)
    again = origin(store, seed=2)
    assert again.on_stated(store, {log.epoch: 7, 12345: 4}, fresh=True) == (False, False)


def deliver(store: Streams, box: ControlDestination, entry: OutgoingEntry, done: list[object]) -> Taken:
    return box.on_entry(store, entry.header, entry.body, NOW_MS, done.append)


def sent(count: int, seed: int = 1) -> list[OutgoingEntry]:
    store = open_store()
    log = origin(store, seed)
    fill(store, log, count)
    log.on_link_opened(IntervalSet())
    return log.pump(store)


def test_the_destination_applies_in_order_once_and_asks_for_no_hole_to_be_skipped() -> None:
    store, box, done = open_store(), ControlDestination(keys(Side.TARGET)), []  # type: ignore[var-annotated]
    one, two, three = sent(3)
    assert [deliver(store, box, entry, done) for entry in (one, three, one, two, three)] == [
        Taken.APPLIED,
        Taken.OUT_OF_ORDER,
        Taken.REPEATED,
        Taken.APPLIED,
        Taken.APPLIED,
    ]
    assert done == [EpochsOverEntry([0]), EpochsOverEntry([1]), EpochsOverEntry([2])]
    assert [up_to for _, up_to in box.state(store)] == [3]


def test_poison_is_quarantined_and_passed() -> None:
    store, box = open_store(), ControlDestination(keys(Side.TARGET))
    one, two = sent(2)

    def refuse(entry: object) -> None:
        raise Refused("forbidden", why="poison")

    assert box.on_entry(store, one.header, one.body, NOW_MS, refuse) is Taken.QUARANTINED
    assert deliver(store, box, two, []) is Taken.APPLIED
    assert rows(store, "SELECT kind, number FROM quarantine") == [(1, 1)]


@pytest.mark.parametrize(("long", "taken"), [(700, Taken.APPLIED), (300, Taken.QUARANTINED)])
def test_g7_an_entry_that_the_disk_damaged_keeps_nothing_behind_it_waiting(long: int, taken: Taken) -> None:
    """With the last page of its row goes what was sealed, and with that of a shorter one most of the entry as well."""
    store = open_store()
    log = origin(store)
    log.append(store, EpochsOverEntry([(1 << 62) + mark for mark in range(long)]), NOW_MS)
    fill(store, log, 1)
    store = with_page_lost(store, store.control_rows(0, 1)[0].body[-40:])
    log.on_link_opened(IntervalSet())
    there, box, done = open_store(), ControlDestination(keys(Side.TARGET)), []  # type: ignore[var-annotated]
    assert [deliver(there, box, entry, done) for entry in log.pump(store)] == [taken, Taken.APPLIED]
    log.on_link_opened(IntervalSet())
    assert [deliver(there, box, entry, done) for entry in log.pump(store)] == [Taken.REPEATED, Taken.REPEATED]


def test_a_broken_seal_changes_nothing() -> None:
    store, box = open_store(), ControlDestination(keys(Side.TARGET))
    (one,) = sent(1)
    assert box.on_entry(store, one.header, b"x" + one.body, NOW_MS, lambda entry: None) is Taken.SEAL_BROKEN
    assert not box.changed
    assert box.state(store) == []


def test_the_destination_remembers_a_bounded_number_of_starts() -> None:
    store, box = open_store(), ControlDestination(keys(Side.TARGET))
    for seed in range(300):
        (one,) = sent(1, seed)
        deliver(store, box, one, [])
    assert len(box.state(store)) <= 256


def test_a_new_start_goes_on_although_the_clock_was_set_back_and_as_many_starts_are_known_as_are_kept() -> None:
    store, box, done = open_store(), ControlDestination(keys(Side.TARGET)), []  # type: ignore[var-annotated]
    for seed in range(300):
        (first,) = sent(1, seed)
        box.on_entry(store, first.header, first.body, NOW_MS + seed, lambda entry: None)
    early = [sent(1, 300)[0], *sent(3, 301)]
    taken = [box.on_entry(store, each.header, each.body, NOW_MS - DAY_MS, done.append) for each in early]
    assert taken == [Taken.APPLIED] * 4
    assert [up_to for _, up_to in box.state(store)][-2:] == [1, 3]
    assert len(box.state(store)) <= 256
