"""All definitions of a connector fit one control entry, whatever its limits allow (G12, G14)."""

from __future__ import annotations

import random
from itertools import count

import pytest

from connector import edit_queries, edit_rows
from connector.resources import NewResource, ResourceChange, change_resource, count_untold, create_resource
from connector.streams import Streams
from shared.core.definitions import fitting
from shared.core.engine import PairEngine
from shared.core.entries import Definition, DefinitionsEntry, encode_entry
from shared.errors import Refused
from shared.limits import ALIAS_CHARS_MAX, CONTROL_ENTRY_BYTES_MAX, NAME_CHARS_MAX, UNIT_CHARS_MAX
from tests.core.stores import CONNECTOR, NOW_MS, open_store
from tests.core.two_sites import OneSite, TwoSites

WIDE = "\N{MUSICAL SYMBOL G CLEF}"  # four bytes


def entry_bytes(store: Streams) -> int:
    return len(encode_entry(DefinitionsEntry(store.definitions())))


def create(store: Streams, alias: str, *, unit: str = "", allowed: dict[str, object] | None = None) -> None:
    new = NewResource(alias=alias, format="number", unit=unit, allowed=allowed)
    create_resource(store.connection, CONNECTOR, new, NOW_MS)


def fill(store: Streams, name: str, *, unit: str = "", allowed: dict[str, object] | None = None) -> None:
    """Create resources without end."""
    for number in count():
        create(store, name.format(number), unit=unit, allowed=allowed)


def crowd(store: Streams, many: int, name: str = "boiler house {:04}/temperature") -> None:
    """Define many at once, as an earlier release let it be; every tenth streams."""
    store.connection.executemany(
        "INSERT INTO resource (connector_id, alias, format, unit, allowed, remote_sync, created_ms)"
        """ VALUES (?, ?, 'number', '°C', '{"low":-40.0,"high":120.0}', ?, 0)""",
        [(CONNECTOR, name.format(number), number % 10 == 9) for number in range(many)],
    )


@pytest.mark.parametrize("allowed", [None, {"any": [float(number) / 7 for number in range(4_000)]}])
def test_resources_of_the_longest_names_fit_one_entry_until_no_more_are_taken(
    allowed: dict[str, object] | None,
) -> None:
    store = open_store()
    with pytest.raises(Refused, match=r"has no room for this.*Delete resources"):
        fill(store, "{:04}" + WIDE * (ALIAS_CHARS_MAX - 4), unit=WIDE * UNIT_CHARS_MAX, allowed=allowed)
    assert CONTROL_ENTRY_BYTES_MAX * (0.9 if allowed is None else 0.6) < entry_bytes(store) <= CONTROL_ENTRY_BYTES_MAX
    assert len(store.definitions()) > 1


def test_resources_of_the_shortest_names_fit_too() -> None:
    store = open_store()
    crowd(store, 4_000, "{}")
    with pytest.raises(Refused, match="has no room"):
        fill(store, "s{}", allowed={"any": [0.0] * 900})
    assert entry_bytes(store) <= CONTROL_ENTRY_BYTES_MAX


def test_where_there_is_no_room_a_definition_may_get_smaller_and_not_larger() -> None:
    store = open_store()
    crowd(store, 4_000)
    alias = "boiler house 0007/temperature"
    with pytest.raises(Refused, match="has no room"):
        change_resource(store.connection, CONNECTOR, alias, ResourceChange(unit="degree Celsius"))
    assert change_resource(store.connection, CONNECTOR, alias, ResourceChange(settable=True))
    assert change_resource(store.connection, CONNECTOR, alias, ResourceChange(allowed=None))


def test_any_mixture_is_told_as_far_as_it_fits() -> None:
    chance = random.Random(5)
    for _ in range(50):
        made = []
        for number in range(chance.choice([3, 400, 3_000, 9_000])):
            alias = f"{number}" + chance.choice(["a", "é", WIDE]) * chance.choice([0, 12, 123])
            unit, allowed = WIDE * chance.choice([0, 32]), chance.choice([None, '{"low":1.0,"high":null}'])
            made.append(Definition(alias, "boolean", unit, allowed, False, False))
            if number % 1_000 == 999:
                made.append(Definition(f"long {number}", "string", "", "x" * chance.choice([100, 70_000]), True, True))
        told = fitting(made)
        assert len(encode_entry(DefinitionsEntry(told))) <= CONTROL_ENTRY_BYTES_MAX
        assert set(told) <= set(made)
        assert len(told) == len(made) or len(encode_entry(DefinitionsEntry(made))) > CONTROL_ENTRY_BYTES_MAX * 0.9


def changed(two: TwoSites, site: OneSite) -> None:
    assert two.work(site, lambda engine, store, now_ms: engine.on_definitions_changed(store, None, now_ms) or [])


def test_more_than_fits_in_a_database_of_an_earlier_release_ends_no_link_and_what_streams_is_told_first() -> None:
    two = TwoSites(random.Random(1))
    crowd(two.source.store, 4_000)
    for site in two.sites.values():
        two.cut(site)
        two.link(site)  # what was never said is said again at each opening
    two.settle()
    known = two.target.store.peer_definitions() or []
    untold = count_untold(two.source.connection, CONNECTOR)
    assert untold > 0
    assert len(known) == len(two.source.store.definitions()) - untold
    assert {each.alias for each in two.source.store.definitions() if each.remote_sync} <= {each.alias for each in known}
    assert two.quiet()

    two.source.connection.execute("DELETE FROM resource WHERE alias LIKE 'boiler house 0%'")
    changed(two, two.source)
    two.settle()
    assert count_untold(two.source.connection, CONNECTOR) == 0
    assert two.target.store.peer_definitions() == two.source.store.definitions()


def test_w9_a_resource_asked_for_where_there_is_no_room_is_refused_and_not_kept() -> None:
    two = TwoSites(random.Random(1))
    crowd(two.target.store, 3_600)
    changed(two, two.target)
    two.settle()
    wanted = Definition("a" * NAME_CHARS_MAX, "number", "", '{"any":[' + "1.0," * 20_000 + "1.0]}", False, True)

    def ask(engine: PairEngine, store: Streams, now_ms: int) -> list[object]:
        request_id = engine.ask_for_resource(store, wanted, now_ms, who="ann")
        edit_rows.add_request(store.connection, CONNECTOR, request_id, wanted.alias, "ann", now_ms)
        return []

    assert two.work(two.source, ask)
    two.settle()
    (row,) = edit_queries.list_requests(two.source.connection, CONNECTOR)
    assert (row.state, row.reason) == ("refused", "too_many_resources")
    assert wanted.alias not in {each.alias for each in two.target.store.definitions()}
    assert two.target.rows("SELECT COUNT(*) FROM quarantine")[0][0] == 0
