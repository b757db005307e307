"""Edits that arrive after both sides were compared, and that their own author has forgotten since (G13, G18)."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from connector import edit_rows
from connector.device_edits import DeviceEdits, NewDevice
from shared.core.entries import CellsEntry, encode_entry
from shared.core.fields import NAME, fields_object
from shared.messages import AskStatement, HeldEpoch, Sealed
from shared.sealing import Kind, Side
from tests.core.stores import CONNECTOR, NOW_MS
from tests.core.two_sites import OneSite, TwoSites

FIELDS = fields_object("pump", 1)


class _SlowHub(TwoSites):
    """A hub that keeps what a linked source says to an absent target, and hands it over with the first entry after that."""

    def __init__(self) -> None:
        super().__init__(Random(1))
        self.copies: list[Sealed] = []
        self.questions = 0
        self.edit(self.source, *DeviceEdits(self.source.connection, CONNECTOR).creation(NewDevice(identity="pump")))
        self.settle()

    def send(self, site: OneSite, frame: object) -> None:
        if isinstance(frame, Sealed) and site is self.source:
            if not self.target.linked:
                self.copies.append(frame)
                return
            self.target.inbox.extend(self.copies)
            self.copies.clear()
        self.questions += isinstance(frame, AskStatement)
        super().send(site, frame)

    def names(self) -> list[str | None]:
        """What the device is called at each side."""
        cells = [site.store.cell(FIELDS, NAME) for site in self.sites.values()]
        return [cell.value if cell is not None else None for cell in cells]

    def restore_the_source_to_before_its_last_edit(self) -> None:
        """Only the hub still knows of that edit; the next link's opening finds both sides equal."""
        backup, backup_ms = self.source.connection.serialize(), self.now_ms
        self.cut(self.target)
        self.now_ms += 60_000
        self.edit(self.source, (FIELDS, NAME, '"forgotten"'))
        assert self.source.engine is not None
        assert len(self.copies) == 1
        epoch = self.source.engine.control_epoch
        self.held[Side.SOURCE] = [HeldEpoch(Kind.CONTROL, epoch, [1, 100])]
        self.now_ms += 60_000
        restored_ms = self.now_ms
        self.restore(self.source, backup)
        self.work(
            self.source,
            lambda engine, store, now_ms: engine.on_restored(
                store, backup_ms=backup_ms, restored_ms=restored_ms, now_ms=now_ms
            ),
        )


@pytest.mark.parametrize("edit_devices", [True, False])
def test_g13_an_edit_that_only_the_hub_kept_comes_back_to_its_restored_author_on_the_same_link(
    edit_devices: bool,
) -> None:
    two = _SlowHub()
    # It is judged by no right, as all that comes back: it was the source's own.
    rights = {"edit_devices": edit_devices}
    edit_rows.change_peer_rights(two.source.connection, CONNECTOR, rights, "admin", "here", NOW_MS)
    two.restore_the_source_to_before_its_last_edit()
    assert two.source.store.lost_edits() is not None
    two.settle()
    assert two.copies == []
    assert two.names() == ['"forgotten"', '"forgotten"']
    two.cut(two.source)
    two.settle()
    assert two.source.store.lost_edits() is None


def test_g13_an_edit_out_of_quarantine_comes_back_to_an_author_that_forgot_it() -> None:
    two = _SlowHub()
    old = two.source.store.cell(FIELDS, NAME)
    assert old is not None
    forgotten = msgspec.structs.replace(old, value='"forgotten"', source_count=old.source_count + 1)
    two.target.store.quarantine_entry(7, 1, "a release before could not", encode_entry(CellsEntry([forgotten])), NOW_MS)
    two.crash(two.target)
    two.settle()
    two.work(two.target, lambda engine, store, now_ms: engine.on_deadline(store, now_ms))
    two.settle()
    assert two.names() == ['"forgotten"', '"forgotten"']


def test_nothing_is_compared_again_where_nothing_came_late() -> None:
    two = _SlowHub()
    at_the_opening = two.questions
    for value in ("one", "two", "three"):
        for site in two.sites.values():
            two.edit(site, (FIELDS, NAME, f'"{value} at the {site.side.word}"'))
            two.settle()
    assert two.questions == at_the_opening > 0
