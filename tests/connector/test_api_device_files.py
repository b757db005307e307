"""Devices as CSV and JSON: what goes out comes in again as it was, and what cannot come in says where and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.device_files import DeviceRecord, FileForm, read_devices, write_devices
from shared.errors import Refused
from tests.connector.api_walk import Walk, walking

TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=12)
RECORDS = st.builds(
    DeviceRecord,
    identity=TEXTS,
    name=TEXTS.filter(str.strip),  # no device has an empty one
    description=TEXTS,
    locked=st.booleans(),
    tags=st.lists(st.tuples(TEXTS, TEXTS), max_size=4),
    configuration=st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, max_size=3),
)


@given(st.lists(RECORDS, max_size=5), st.sampled_from(["csv", "json"]))
def test_w12_what_is_written_reads_back_the_same(records: list[DeviceRecord], form: FileForm) -> None:
    assert [row.record for row in read_devices(write_devices(records, form), form)] == records


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"", "no column 'identity'"),
        (b"name\nx\n", "no column 'identity'"),
        (b"identity,colour\nx,red\n", "column 'colour' is none of"),
        (b"identity,name,name\nx,y,z\n", "column 'name' twice"),
        (b'identity\n"x\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_table_of_devices_is_refused_as_a_whole(body: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_devices(body, "csv")


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[" * 100_000, b'[{"identity": "x"}', b"null"])
def test_json_that_is_no_list_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(Refused, match="no JSON list"):
        read_devices(body, "json")


def test_each_bad_row_says_what_is_wrong_and_stops_no_other() -> None:
    body = (
        "\ufeffIdentity,locked,tags,configuration\r\n"
        "a,yes,floor=2;place=a\\;b\\=c,\r\n"
        "\r\n"
        "b,maybe,,\r\n"
        "c,,floor,\r\n"
        "d,,,[1]\r\n"
        "e,,,,more\r\n"
        'f,no,;,"{""x"": 1}"\r\n'
    )
    rows = read_devices(body.encode(), "csv")
    assert rows[0].record == DeviceRecord(
        identity="a", locked=True, tags=[("floor", "2"), ("place", "a;b=c")], configuration={}
    )
    assert rows[5].record == DeviceRecord(identity="f", locked=False, tags=[], configuration={"x": 1})
    assert [(row.number, str(row.refusal).partition(":")[0]) for row in rows[1:5]] == [
        (2, "Locked"),
        (3, "Tags"),
        (4, "Configuration"),
        (5, "Row"),
    ]


def test_w12_a_row_that_ends_early_or_has_no_name_leaves_alone_what_it_lacks() -> None:
    rows = read_devices(b'identity,name,locked\na\nb,,yes\nc,C\n"",x\n', "csv")
    assert [row.record for row in rows] == [
        DeviceRecord(identity="a"),
        DeviceRecord(identity="b", locked=True),
        DeviceRecord(identity="c", name="C"),
        DeviceRecord(identity="", name="x"),
    ]


async def test_w12_an_import_previews_what_the_rows_do_and_then_does_it(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        connector_id = (await walk.ask("create_connector", {"name": "yard"})).json()["connector_id"]
        here = {"connector_id": connector_id}
        tags = [["floor", "2"], ["old", ""]]
        await walk.ask("create_device", {"identity": "b", "name": "B", "tags": tags}, **here)
        await walk.ask("create_device", {"identity": "c", "description": "stays"}, **here)
        body = "identity,name,tags\na,A,x=1\nb,B 2,floor=2;new=1\nc,c,\na,again,\n" + "d" * 300 + ",,\n"
        wanted = [
            (1, "a", "create", []),
            (2, "b", "change", ["name", "tags"]),
            (3, "c", "same", []),
            (4, "a", "refused", []),
            (5, "d" * 300, "refused", []),
        ]
        preview = await send(walk, connector_id, body, preview="true")
        assert [(row["row"], row["identity"], row["what"], row["changes"]) for row in preview["rows"]] == wanted
        assert (await walk.ask("list_devices", **here)).json()["total"] == 2, "a preview does nothing"
        assert await send(walk, connector_id, body) == preview
        shown = (await walk.ask("list_devices", **here)).json()["rows"]
        assert [(row["identity"], row["name"], row["tags"], row["description"]) for row in shown] == [
            ("a", "A", [["x", "1"]], ""),
            ("b", "B 2", [["floor", "2"], ["new", "1"]], ""),
            ("c", "c", [], "stays"),
        ]
        exported = await walk.ask("export_many", query={"format": "csv"}, **here)
        assert "attachment" in exported.headers["content-disposition"]
        again = await send(walk, connector_id, exported.text)
        assert (again["same"], again["create"], again["change"], again["refused"]) == (3, 0, 0, 0)


async def send(walk: Walk, connector_id: str, body: str, **query: str) -> Any:
    headers = {"Content-Type": "text/csv"}
    told = await walk.ask("import_many", body.encode(), query=query, headers=headers, connector_id=connector_id)
    return told.json()
