"""Edits between two sides: rights and refusals (G18), generations (G13), conflicts (G11), history, requests (W9)."""

from __future__ import annotations

import re
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import edit_queries, edit_rows
from connector.device_edits import DeviceEdits, NewDevice
from connector.edit_queries import ChangeRow
from shared.core.edits import Edits
from shared.core.entries import Definition
from shared.core.fields import (
    CONNECTOR_OBJECT,
    EXISTS,
    NAME,
    FieldClass,
    Grant,
    Subject,
    device_object,
    fields_address,
    fields_object,
    json_text,
    pattern_matches,
    policy_field,
    set_field,
    tag_field,
)
from shared.core.judge import PeerRights, set_value_refusal
from shared.limits import TAGS_PER_DEVICE_MAX
from shared.sealing import Side
from tests.core.stores import CONNECTOR, NOW_MS
from tests.core.two_sites import OneSite, TwoSites

FIELDS = fields_object("pump", 1)


def paired(*devices: str) -> TwoSites:
    """Two sites, linked and in step."""
    two = TwoSites(Random(1))
    for identity in devices:
        two.edit(two.source, *edits(two.source).creation(NewDevice(identity=identity)))
    two.settle()
    return two


def edits(site: OneSite) -> DeviceEdits:
    return DeviceEdits(site.connection, CONNECTOR)


def forbid(site: OneSite, *rights: str) -> None:
    """Let the other side do all but this."""
    named = {name: name not in rights for name in PeerRights.__struct_fields__}
    edit_rows.change_peer_rights(site.connection, CONNECTOR, named, "admin", "here", NOW_MS)


def name_of(site: OneSite, identity: str = "pump") -> object:
    return site.rows(f"SELECT name FROM device WHERE identity = '{identity}'")[0][0]


def sync_of(site: OneSite) -> object:
    return site.rows("SELECT sync FROM device WHERE identity = 'pump'")[0][0]


def last_change(site: OneSite) -> ChangeRow:
    return edit_queries.list_changes(site.connection, CONNECTOR, identity="pump", limit=1)[0]


def apart(two: TwoSites, of: str, field: str, source: str | None, target: str | None) -> None:
    """Edit the same field at both sides, the target a little later, neither knowing of the other."""
    for site in two.sites.values():
        two.cut(site)
    two.edit(two.source, (of, field, source))
    two.now_ms += 5
    two.edit(two.target, (of, field, target))


def test_an_edit_that_the_other_side_does_not_allow_comes_back_with_its_value_and_says_so() -> None:
    two = paired("pump")
    forbid(two.target, "edit_devices")
    two.edit(two.source, (FIELDS, NAME, '"mine"'))
    assert sync_of(two.source) == "pending"
    two.settle()
    assert name_of(two.source) == name_of(two.target) == "pump"
    mine, theirs = last_change(two.source), last_change(two.target)
    assert (mine.state, mine.reason, mine.after, mine.ours) == ("refused", "edit_not_allowed", '"mine"', True)
    assert (theirs.state, theirs.reason, theirs.who, theirs.ours) == ("refused", "edit_not_allowed", "ann", False)
    assert (sync_of(two.source), sync_of(two.target)) == ("refused", "synced")
    edit_rows.dismiss_refused(two.source.connection, CONNECTOR, "pump")
    assert sync_of(two.source) == "synced"


def test_a_refusal_is_over_with_the_next_edit_that_is_taken() -> None:
    two = paired("pump")
    forbid(two.target, "edit_devices")
    two.edit(two.source, (FIELDS, NAME, '"mine"'))
    two.settle()
    forbid(two.target)
    two.edit(two.source, (FIELDS, NAME, '"again"'))
    two.settle()
    assert name_of(two.target) == "again"
    assert sync_of(two.source) == "synced"


def test_quick_edits_that_are_all_refused_make_no_conflict() -> None:
    two = paired("pump")
    forbid(two.target, "edit_devices")
    two.cut(two.target)
    for value in ('"one"', '"two"', '"three"'):
        two.edit(two.source, (FIELDS, NAME, value))
    two.settle()
    assert name_of(two.source) == "pump"
    assert [site.rows("SELECT * FROM conflict") for site in two.sites.values()] == [[], []]


def test_two_sides_that_both_forbid_the_other_still_end_equal() -> None:
    two = paired("pump")
    for site in two.sites.values():
        forbid(site, "edit_devices")
    apart(two, FIELDS, NAME, '"source"', '"target"')
    two.settle()
    assert name_of(two.source) == name_of(two.target)


@pytest.mark.parametrize(
    ("right", "of", "field", "value"),
    [
        ("edit_devices", FIELDS, "locked", "true"),
        ("edit_devices", device_object("pump"), EXISTS, "-1"),
        ("edit_tags", FIELDS, tag_field("a", "b"), "true"),
        ("edit_grants", FIELDS, 'grant/["user","bo","site"]', '{"level":"read","expires_ms":null}'),
        ("edit_grants", FIELDS, "publish-as/*", "true"),
        ("edit_configuration", FIELDS, "configuration", '{"a":1}'),
        ("edit_configuration", CONNECTOR_OBJECT, policy_field(FieldClass.TAGS), '"source"'),
        ("set_values", FIELDS, set_field("r"), "1.0"),
    ],
)
def test_each_right_covers_its_fields_and_no_others(right: str, of: str, field: str, value: str) -> None:
    two = paired("pump")
    others = [name for name in PeerRights.__struct_fields__ if name != right]
    forbid(two.source, *others)
    two.edit(two.target, (of, field, value))
    two.settle()
    taken = two.source.store.cell(of, field)
    assert taken is not None
    assert taken.value == value

    two = paired("pump")
    forbid(two.source, right)
    before = two.source.store.cell(of, field)
    two.edit(two.target, (of, field, value))
    two.settle()
    refused = two.target.store.cell(of, field)
    assert refused is not None
    assert (refused.value, refused.refused) == (before.value if before else None, "edit_not_allowed")


def test_a_partner_cannot_fill_a_device_with_tags() -> None:
    two = paired("pump")
    two.edit(two.target, *[(FIELDS, tag_field("n", str(at)), "true") for at in range(TAGS_PER_DEVICE_MAX + 3)])
    two.settle()
    for site in two.sites.values():
        assert len(site.rows("SELECT * FROM tag")) == TAGS_PER_DEVICE_MAX
    refused = two.target.rows("SELECT DISTINCT reason FROM change WHERE state = 'refused'")
    assert [tuple(row) for row in refused] == [("too_many",)]


NUMBER = Definition("r", "number", "", '{"low":0.0,"high":10.0}', True, True)
LISTED = Definition("r", "string", "", '{"any":["on","off"]}', True, True)


@pytest.mark.parametrize(
    ("definition", "value", "code"),
    [
        (NUMBER, "1.5", ""),
        (NUMBER, "10", ""),
        (NUMBER, "10.5", "not_allowed"),
        (NUMBER, "true", "wrong_format"),
        (NUMBER, '"1"', "wrong_format"),
        (LISTED, '"on"', ""),
        (LISTED, '"up"', "not_allowed"),
        (Definition("r", "boolean", "", None, True, True), "1", "wrong_format"),
        (Definition("r", "number", "", None, False, True), "1", "not_settable"),
        (None, "1", "unknown_resource"),
    ],
)
def test_the_source_judges_what_may_be_set(definition: Definition | None, value: str, code: str) -> None:
    assert set_value_refusal(definition, value) == code


def test_a_value_that_the_source_refuses_is_taken_back_at_the_target_too() -> None:
    two = paired("pump")
    shown = "SELECT set_value FROM series"
    two.edit(two.target, (FIELDS, set_field("r"), "4.0"))
    two.settle()
    two.source.connection.execute("UPDATE resource SET settable = 0")
    two.edit(two.target, (FIELDS, set_field("r"), "5.0"))
    assert two.target.rows(shown)[0][0] == 5.0
    two.settle()
    assert [site.rows(shown)[0][0] for site in two.sites.values()] == [4.0, 4.0]
    assert (last_change(two.target).state, last_change(two.target).reason) == ("refused", "not_settable")


def test_g19_what_the_source_refuses_does_not_stand_where_the_target_refuses_its_value_at_the_same_moment() -> None:
    two = paired("pump")
    forbid(two.target, "set_values")
    apart(two, FIELDS, set_field("r"), "3.5", '"no number"')
    two.settle()
    assert [site.rows("SELECT set_value FROM series") for site in two.sites.values()] == [[(3.5,)], [(3.5,)]]
    told = edit_queries.list_changes(two.target.connection, CONNECTOR, identity="pump", limit=2)
    assert {(change.state, change.reason) for change in told} == {
        ("refused", "edit_not_allowed"),
        ("refused", "wrong_format"),
    }


# --- generations ------------------------------------------------------------------------------------------------------


def test_an_edit_of_a_deleted_device_does_not_land_on_the_one_made_again() -> None:
    two = paired("pump")
    for site in two.sites.values():
        two.cut(site)
    two.edit(two.target, (FIELDS, NAME, '"late"'), (FIELDS, tag_field("late", "yes"), "true"))
    two.edit(two.source, *edits(two.source).deletion("pump"))
    two.edit(two.source, *edits(two.source).creation(NewDevice(identity="pump", name="anew")))
    two.settle()
    for site in two.sites.values():
        assert name_of(site) == "anew"
        assert (
            site.rows("SELECT generation FROM device") == [(2,)]
            or site.rows("SELECT generation FROM device")[0][0] == 2
        )
        assert site.rows("SELECT * FROM tag") == []


def test_a_device_made_at_both_sides_is_one_device_without_a_conflict() -> None:
    two = TwoSites(Random(1))
    for site in two.sites.values():
        made = edits(site).creation(NewDevice(identity="pump", name="Pump", tags=[("side", site.side.word)]))
        two.edit(site, *made)
    two.settle()
    for site in two.sites.values():
        assert len(site.rows("SELECT * FROM device")) == 1
        assert {row[0] for row in site.rows("SELECT value FROM tag")} == {"source", "target"}
        assert site.rows("SELECT * FROM conflict") == []


def test_a_deletion_against_a_new_generation_is_no_conflict_and_does_not_delete_it() -> None:
    two = paired("pump")
    for site in two.sites.values():
        two.cut(site)
    two.edit(two.source, *edits(two.source).deletion("pump"))
    two.edit(two.source, *edits(two.source).creation(NewDevice(identity="pump")))
    two.now_ms += 1_000
    two.edit(two.target, *edits(two.target).deletion("pump"))
    two.settle()
    for site in two.sites.values():
        assert [row[0] for row in site.rows("SELECT generation FROM device")] == [2]
        assert site.rows("SELECT * FROM conflict") == []


def test_a_new_generation_that_comes_without_the_deletion_before_it_has_nothing_of_the_old_one() -> None:
    two = paired("pump")
    two.edit(two.source, *edits(two.source).tagging("pump", [("a", "b")]))
    mine = two.source.store.cell(device_object("pump"), EXISTS)
    assert mine is not None
    second = msgspec.structs.replace(mine, value="2", target_count=9, side=1)
    Edits(Side.SOURCE, "here").take(two.source.store, [second], NOW_MS)
    assert [tuple(row) for row in two.source.rows("SELECT generation, name FROM device")] == [(2, "pump")]
    assert two.source.rows("SELECT * FROM tag") == []


def test_a_deletion_takes_everything_the_device_had_at_both_sides() -> None:
    two = paired("pump")
    two.edit(
        two.source,
        *edits(two.source).tagging("pump", [("a", "b")]),
        *edits(two.source).granting("pump", Subject("user", "bo", "site"), Grant("write")),
        *edits(two.source).publishing_as("pump", "*"),
        (FIELDS, set_field("r"), "1.0"),
    )
    two.settle()
    two.edit(two.target, *edits(two.target).deletion("pump"))
    two.settle()
    for site in two.sites.values():
        for table in ("device", "tag", "grant_row", "publish_as", "series"):
            assert site.rows(f"SELECT * FROM {table}") == [], table
        assert len(site.rows("SELECT * FROM gone_series")) == 1
        assert edit_rows.sweep(site.connection, NOW_MS, 100)
        assert not edit_rows.sweep(site.connection, NOW_MS, 100)
        assert site.rows("SELECT * FROM gone_series") == []


# --- conflicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "stands"), [("newer", '"target"'), ("source", '"source"'), ("target", '"target"')])
def test_the_policy_of_the_class_decides_at_both_sides(policy: str, stands: str) -> None:
    two = paired("pump")
    two.edit(two.target, (CONNECTOR_OBJECT, policy_field(FieldClass.DEVICES), json_text(policy)))
    two.settle()
    apart(two, FIELDS, NAME, '"source"', '"target"')
    two.settle()
    for site in two.sites.values():
        assert json_text(name_of(site)) == stands
        assert sync_of(site) == "conflict"
        (row,) = edit_queries.list_conflicts(site.connection, CONNECTOR)
        assert (row.kept, row.policy, row.identity) == (stands, policy, "pump")
        assert edit_queries.policies(site.connection, CONNECTOR)["devices"] == policy


def test_a_policy_that_changes_while_edits_cross_leaves_both_sides_equal_on_the_same_link() -> None:
    two = paired("pump")
    two.edit(two.source, (FIELDS, NAME, '"source"'), (CONNECTOR_OBJECT, policy_field(FieldClass.DEVICES), '"source"'))
    two.now_ms += 5
    two.edit(two.target, (FIELDS, NAME, '"target"'))  # merged under `source` there, and under `newer` here
    assert all(site.linked for site in two.sites.values())
    two.settle()
    assert name_of(two.source) == name_of(two.target) == "source"


def test_an_edit_made_in_knowledge_of_both_settles_a_conflict_at_both_sides() -> None:
    two = paired("pump")
    apart(two, FIELDS, NAME, '"source"', '"target"')
    two.settle()
    two.edit(two.source, (FIELDS, NAME, '"agreed"'), who="bo")
    two.settle()
    for site in two.sites.values():
        assert edit_queries.list_conflicts(site.connection, CONNECTOR) == []
        (row,) = edit_queries.list_conflicts(site.connection, CONNECTOR, closed=True)
        assert (row.closed_how, row.closed_by) == ("edited", "bo")
        assert sync_of(site) == "synced"


def test_a_version_that_counts_the_same_edits_with_another_outcome_is_answered_with_ours() -> None:
    two = paired("pump")
    mine = two.source.store.cell(FIELDS, NAME)
    assert mine is not None
    other = msgspec.structs.replace(mine, value='"other"', stamp_ms=mine.stamp_ms - 1)
    replies, wrong = Edits(Side.SOURCE, "here").take(two.source.store, [other], NOW_MS)
    assert (replies, wrong) == ([mine], [])
    newer = msgspec.structs.replace(mine, value='"other"', stamp_ms=mine.stamp_ms + 1)
    assert Edits(Side.SOURCE, "here").take(two.source.store, [newer], NOW_MS) == ([], [])
    assert name_of(two.source) == "other"


# --- history ----------------------------------------------------------------------------------------------------------------


def test_history_says_who_changed_what_where_at_both_sides() -> None:
    two = paired("pump")
    two.edit(two.target, (FIELDS, NAME, '"new"'), who="Ann")
    assert last_change(two.target).state == "pending"
    two.settle()
    for site, ours in ((two.target, True), (two.source, False)):
        row = last_change(site)
        assert (row.before, row.after, row.who, row.site_id) == ('"pump"', '"new"', "Ann", "target")
        assert (row.state, row.ours, row.field) == ("applied", ours, NAME)


def test_history_is_kept_to_its_number_and_age_but_what_is_open_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    two = paired("pump")
    monkeypatch.setattr(edit_rows, "CHANGES_KEPT_MAX", 2)
    for at in range(5):
        two.edit(two.source, (FIELDS, NAME, f'"{at}"'))
    two.settle()
    two.cut(two.target)
    for at in range(5, 8):
        two.edit(two.source, (FIELDS, NAME, f'"{at}"'))
    edit_rows.sweep(two.source.connection, two.now_ms, 100)
    left = two.source.rows("SELECT state FROM change")
    assert [row[0] for row in left] == ["pending"] * 3


def test_many_devices_out_of_step_are_counted_from_an_index() -> None:
    two = paired("pump")
    plan = two.source.rows(
        "EXPLAIN QUERY PLAN SELECT COUNT(*) FROM device WHERE connector_id = 'x' AND sync <> 'synced'"
    )
    assert "device_by_sync" in str(plan[0][3])
    two.cut(two.target)
    two.edit(two.source, (FIELDS, NAME, '"new"'))
    unlike = "SELECT sync FROM device WHERE connector_id = ? AND sync <> 'synced'"
    assert list(two.source.connection.execute(unlike, (CONNECTOR,))) == [("pending",)]


# --- a resource made at the other side ----------------------------------------------------------------------------------------


def asked(two: TwoSites, definition: Definition) -> None:
    def ask(engine: object, store: object, now_ms: int) -> list[object]:
        request_id = engine.ask_for_resource(store, definition, now_ms, who="ann")  # type: ignore[attr-defined]
        edit_rows.add_request(two.source.connection, CONNECTOR, request_id, definition.alias, "ann", now_ms)
        return []

    assert two.work(two.source, ask)
    two.settle()


FLOW = Definition("flow", "number", "l/s", '{"low":0.0,"high":9.0}', True, True)


@pytest.mark.parametrize(
    ("forbidden", "present", "state", "reason"),
    [
        ((), None, "done", ""),
        ((), "l/s", "done", ""),
        ((), "K", "refused", "exists"),
        (("edit_resources",), None, "refused", "edit_not_allowed"),
    ],
)
def test_w9_a_resource_is_made_at_the_other_side_or_the_refusal_comes_back(
    forbidden: tuple[str, ...], present: str | None, state: str, reason: str
) -> None:
    two = paired("pump")
    forbid(two.target, *forbidden)
    if present is not None:
        two.target.connection.execute(
            "INSERT INTO resource (connector_id, alias, format, unit, allowed, settable, created_ms)"
            " VALUES (?, 'flow', 'number', ?, ?, 1, 0)",
            (CONNECTOR, present, FLOW.allowed),
        )
    asked(two, FLOW)
    (row,) = edit_queries.list_requests(two.source.connection, CONNECTOR)
    assert (row.alias, row.state, row.reason, row.who) == ("flow", state, reason, "ann")
    assert (row.answered_ms is None) == (state == "pending")
    known = two.source.store.peer_definitions() or []
    there = next((one for one in two.target.store.definitions() if one.alias == "flow"), None)
    assert (there is not None and there.accepts == FLOW.accepts) == (state == "done")
    if state == "done" and present is None:
        assert there in known
        assert not there.remote_sync


# --- small rules --------------------------------------------------------------------------------------------------------------


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_patterns_mean_any_run_of_characters_where_a_star_stands(pattern: str, identity: str) -> None:
    meant = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert pattern_matches(pattern, identity) == (re.fullmatch(meant, identity) is not None)


def test_nothing_but_the_star_is_special_in_a_pattern() -> None:
    assert pattern_matches("pump[1].?", "pump[1].?")
    assert not pattern_matches("pump[1].?", "pump1.x")
    assert pattern_matches("*", "")


def test_a_gateway_reports_for_itself_and_for_what_its_patterns_fit() -> None:
    two = paired("pump", "gateway")
    two.edit(two.target, *edits(two.target).publishing_as("gateway", "pump*"))
    two.settle()
    may = edit_queries.may_report_for
    connection = two.source.connection
    assert may(connection, CONNECTOR, "gateway", "gateway")
    assert may(connection, CONNECTOR, "gateway", "pump-7")
    assert not may(connection, CONNECTOR, "gateway", "fan")
    assert not may(connection, CONNECTOR, "pump", "gateway")


def test_a_lock_set_at_one_side_holds_at_the_other() -> None:
    two = paired("pump")
    two.edit(two.target, *edits(two.target).locking("pump", locked=True))
    two.settle()
    assert edit_queries.is_locked(two.source.connection, CONNECTOR, "pump")
    assert not edit_queries.is_locked(two.source.connection, CONNECTOR, "unknown")


@given(st.text("/1ab", max_size=6), st.integers(1, 99))
def test_a_generation_is_read_back_from_its_object(identity: str, generation: int) -> None:
    assert fields_address(fields_object(identity, generation)) == (identity, generation)
    assert fields_address(device_object(identity)) is None
    assert fields_address(f"generation/0{generation}/{identity}") is None
    assert Side.SOURCE.other is Side.TARGET


def restored_in_between(two: TwoSites, *, told: bool) -> None:
    """Edit at both sides, and restore the target, which restricts its partner by then, to the state from before."""
    forbid(two.target, "edit_devices")
    backup, backup_ms = two.target.connection.serialize(), two.now_ms
    forbid(two.target)
    two.now_ms += 60_000
    two.edit(two.source, (FIELDS, NAME, '"theirs"'))
    two.settle()
    two.now_ms += 60_000
    restored_ms = two.now_ms
    two.cut(two.source)
    two.restore(two.target, backup)
    if told:
        two.work(
            two.target,
            lambda engine, store, now_ms: engine.on_restored(
                store, backup_ms=backup_ms, restored_ms=restored_ms, now_ms=now_ms
            ),
        )
    two.now_ms += 1
    two.settle()


def test_g18_what_a_restored_site_had_taken_comes_back_though_its_rights_of_then_forbid_it() -> None:
    two = paired("pump")
    restored_in_between(two, told=True)
    assert [name_of(site) for site in two.sites.values()] == ["theirs", "theirs"]


def test_g18_a_copy_that_is_not_known_to_be_restored_refuses_by_its_rights() -> None:
    two = paired("pump")
    restored_in_between(two, told=False)
    assert [name_of(site) for site in two.sites.values()] == ["pump", "pump"]


def test_g18_what_is_edited_after_a_restore_is_judged_as_always_and_the_exception_ends_once_both_are_equal() -> None:
    two = paired("pump")
    restored_in_between(two, told=True)
    two.edit(two.source, (FIELDS, NAME, '"late"'))
    two.settle()
    assert [name_of(site) for site in two.sites.values()] == ["theirs", "theirs"]
    two.cut(two.source)
    two.settle()
    assert two.target.store.lost_edits() is None
