"""The way in for edits: many at once, who did it, what is refused at once, and how conflicts are settled (W8, W12)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connector import edit_queries, editing
from connector.editing import Editing, NewDevice
from connector.runtime import ConnectorRuntime
from shared.clock import SystemClock
from shared.core.fields import NAME, Grant, Subject, fields_object
from shared.core.judge import PeerRights
from shared.errors import Refused
from tests.core.stores import CONNECTOR
from tests.core.two_sites import OneSite, TwoSites
from tests.databases import undo

BO = Subject("user", "bo", "source")


class _Runner:
    """Runs units of work of one of two sites, as the pair's runner does."""

    def __init__(self, two: TwoSites, site: OneSite) -> None:
        self._two, self._site = two, site

    async def run(self, work: Callable[..., tuple[Any, list[Any]]]) -> Any:
        found: list[Any] = []

        def do(engine: object, store: object, now_ms: int) -> list[Any]:
            result, effects = work(engine, store, now_ms)
            found.append(result)
            return effects

        try:
            self._two.work(self._site, do)
        except Refused:
            undo(self._site.connection)  # this unit of work alone: all of the test is one transaction
            raise
        return found[0]


def editing_of(two: TwoSites, site: OneSite, *, paired: bool = True) -> Editing:
    async def unit(run: Callable[[Any], Any]) -> Any:
        return run(site.connection)

    runtime = cast("ConnectorRuntime", SimpleNamespace(runner=_Runner(two, site) if paired else None))
    return Editing(
        catalogue=site.catalogue,
        clock=SystemClock(),
        runtime=lambda _: runtime,
        write=unit,
        read=unit,
        site_id=lambda: site.side.word,
        ring=lambda _id, _what: None,
    )


@pytest.fixture
def two() -> TwoSites:
    """Two sites in step, whose source has a pump."""
    made = TwoSites(Random(1))
    made.settle()
    return made


async def test_w12_many_devices_are_made_locked_tagged_and_deleted_and_each_refusal_is_named(
    two: TwoSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "_BITE_DEVICES", 2)  # over several units of work
    way = editing_of(two, two.target)
    names = [f"pump {at}" for at in range(5)]
    new = [NewDevice(identity=name, tags=[("hall", "3")]) for name in names]
    done = await way.create_devices(CONNECTOR, [*new, new[0], NewDevice(identity="\n")], who="ann")
    assert {name: error.code for name, error in done.refused.items()} == {names[0]: "exists", "\n": "invalid"}
    again = await way.create_devices(CONNECTOR, new, who="ann")
    assert (again.changed, len(again.refused)) == (0, 5)
    done = await way.lock(CONNECTOR, [*names, "fan"], locked=True, who="ann")
    assert (done.changed, list(done.refused)) == (5, ["fan"])
    await way.add_tags(CONNECTOR, names, [("a", "1"), ("a", "2")], who="ann")
    await way.remove_tags(CONNECTOR, names, [("hall", "3")], who="ann")
    await way.set_grant(CONNECTOR, names[:2], BO, Grant("write"), who="ann")
    await way.set_grant(CONNECTOR, None, BO, Grant("read", 5), who="ann")
    assert (await way.delete_devices(CONNECTOR, names[3:], who="ann")).changed == 2
    two.settle()
    for site in two.sites.values():
        rows = site.rows(
            "SELECT identity, locked, group_concat(value) FROM device JOIN tag USING (device_id) GROUP BY 1, 2"
        )
        assert [tuple(row) for row in rows] == [(name, 1, "1,2") for name in names[:3]]
        assert edit_queries.list_grants(site.connection, CONNECTOR, names[0]) == [(BO, Grant("write"))]
        assert edit_queries.list_grants(site.connection, CONNECTOR, None) == [(BO, Grant("read", 5))]
    await way.remove_grant(CONNECTOR, None, BO, who="ann")
    assert edit_queries.list_grants(two.target.connection, CONNECTOR, None) == []


async def test_a_device_made_again_is_of_the_next_generation(two: TwoSites) -> None:
    way = editing_of(two, two.source, paired=False)
    for _ in range(2):
        await way.create_devices(CONNECTOR, [NewDevice(identity="pump", name="Pump")], who="ann")
        await way.delete_devices(CONNECTOR, ["pump"], who="ann")
    await way.create_reported(CONNECTOR, ["pump", "pump", "\n"])
    assert [tuple(row) for row in two.source.rows("SELECT identity, name, generation FROM device")] == [
        ("pump", "pump", 3)
    ]
    with pytest.raises(Refused, match="no such device"):
        await way.rename(CONNECTOR, "fan", "Fan", "", who="ann")


@pytest.mark.parametrize("configuration", ["[1]", "{", '{"a":' * 9_000, '{"a":"' + "x" * 33_000 + '"}'])
async def test_a_configuration_is_a_json_object_of_bounded_size(two: TwoSites, configuration: str) -> None:
    way = editing_of(two, two.source)
    await way.create_devices(CONNECTOR, [NewDevice(identity="pump")], who="ann")
    with pytest.raises(Refused) as refused:
        await way.set_configuration(CONNECTOR, "pump", configuration, who="ann")
    assert refused.value.code == "invalid"
    await way.set_configuration(CONNECTOR, "pump", ' {"every_s": 5} ', who="ann")
    assert two.source.rows("SELECT configuration FROM device")[0][0] == '{"every_s": 5}'


async def test_what_lost_a_conflict_is_restored_with_one_action_at_both_sides(two: TwoSites) -> None:
    source, target = editing_of(two, two.source), editing_of(two, two.target)
    await source.create_devices(CONNECTOR, [NewDevice(identity="pump")], who="ann")
    two.settle()
    for site in two.sites.values():
        two.cut(site)
    await source.rename(CONNECTOR, "pump", "lost", "", who="ann")
    two.now_ms += 5
    await target.rename(CONNECTOR, "pump", "kept", "", who="bo")
    two.settle()
    (row,) = edit_queries.list_conflicts(two.source.connection, CONNECTOR, identity="pump")
    assert (row.lost, row.lost_who, row.kept, row.kept_who) == ('"lost"', "ann", '"kept"', "bo")
    await source.restore_conflict(CONNECTOR, row.conflict_id, who="eve")
    two.settle()
    for site, how in ((two.source, "restored"), (two.target, "edited")):
        assert [row[0] for row in site.rows("SELECT name FROM device")] == ["lost"]
        (closed,) = edit_queries.list_conflicts(site.connection, CONNECTOR, closed=True)
        assert (closed.closed_how, closed.closed_by) == (how, "eve")
        assert [row[0] for row in site.rows("SELECT sync FROM device")] == ["synced"]
    with pytest.raises(Refused, match="no such open conflict"):
        await source.restore_conflict(CONNECTOR, row.conflict_id, who="eve")


async def test_a_conflict_that_is_dismissed_stays_in_the_list_of_all(two: TwoSites) -> None:
    way = editing_of(two, two.source)
    await way.create_devices(CONNECTOR, [NewDevice(identity="pump")], who="ann")
    cell = two.source.store.cell(fields_object("pump", 1), NAME)
    assert cell is not None
    two.source.store.add_conflict(cell, cell, "newer", 1)
    (row,) = edit_queries.list_conflicts(two.source.connection, CONNECTOR)
    await way.dismiss_conflict(CONNECTOR, row.conflict_id, who="ann")
    assert edit_queries.list_conflicts(two.source.connection, CONNECTOR) == []
    assert edit_queries.list_conflicts(two.source.connection, CONNECTOR, closed=True)[0].closed_how == "dismissed"


@pytest.mark.parametrize(("value", "code"), [(True, "wrong_format"), ("x", "wrong_format"), ([1], "invalid")])
async def test_a_value_that_cannot_be_set_is_refused_at_once_at_both_sides(
    two: TwoSites, value: object, code: str
) -> None:
    two.work(two.source, lambda engine, store, now_ms: engine.on_definitions_changed(store, None, now_ms) or [])
    await editing_of(two, two.source).create_devices(CONNECTOR, [NewDevice(identity="pump")], who="ann")
    two.settle()
    for site in two.sites.values():
        way = editing_of(two, site)
        with pytest.raises(Refused) as refused:
            await way.set_value(CONNECTOR, "pump", "r", value, who="ann")
        assert refused.value.code == code
        await way.set_value(CONNECTOR, "pump", "r", 7, who="ann")
        assert site.rows("SELECT set_value FROM series")[0][0] == 7.0


async def test_g18_peer_rights_are_set_once_there_is_a_partner_and_stay_in_the_history(two: TwoSites) -> None:
    with pytest.raises(Refused) as refused:
        await editing_of(two, two.source, paired=False).set_peer_rights(CONNECTOR, {}, who="ann")
    assert refused.value.code == "not_paired"
    way = editing_of(two, two.source)
    await way.set_peer_rights(CONNECTOR, {"edit_tags": False}, who="ann")
    assert await way.peer_rights(CONNECTOR) == PeerRights(edit_tags=False)
    (row,) = edit_queries.list_changes(two.source.connection, CONNECTOR)
    assert (row.field, row.who, row.identity) == ("peer-rights", "ann", None)


async def test_a_policy_reaches_the_other_side(two: TwoSites) -> None:
    await editing_of(two, two.target).set_policy(CONNECTOR, "tags", "source", who="ann")
    two.settle()
    for site in two.sites.values():
        assert (await editing_of(two, site).policies(CONNECTOR))["tags"] == "source"
    for class_name, policy in (("policies", "newer"), ("tags", "older")):
        with pytest.raises(Refused):
            await editing_of(two, two.target).set_policy(CONNECTOR, class_name, policy, who="ann")


async def test_w9_a_resource_is_asked_for_and_the_answer_followed(two: TwoSites) -> None:
    two.target.connection.execute("DELETE FROM resource")
    way = editing_of(two, two.source)
    request_id = await way.create_there(CONNECTOR, "r", who="ann")
    (row,) = edit_queries.list_requests(two.source.connection, CONNECTOR)
    assert (row.request_id, row.state) == (request_id, "pending")
    two.settle()
    assert edit_queries.list_requests(two.source.connection, CONNECTOR)[0].state == "done"
    assert [row[0] for row in two.target.rows("SELECT alias FROM resource")] == ["r"]
    with pytest.raises(Refused, match="no such resource"):
        await way.create_there(CONNECTOR, "unknown", who="ann")
