"""G10: the newest answers stay as copies for when the other side cannot be asked, whatever the clock does meanwhile."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from connector import connectors
from connector.calls import Calls
from connector.device_queries import DeviceQuery
from connector.lookups import GET_DEVICE, LIST_DEVICES, GetQuestion, Lookups, Origin
from shared.clock import SystemClock
from shared.database import Database
from shared.errors import Refused
from shared.limits import DAY_MS
from shared.sealing import PairKeys, Side
from tests.connector.test_calls import passes_to

CONNECTOR = "C0NNECT0"


async def test_g10_new_copies_are_kept_although_the_clock_was_set_back_and_old_ones_are_of_unknown_age(
    tmp_path: Path,
) -> None:
    database = await Database.open(tmp_path / "site.db", files("connector") / "sql")
    try:
        await database.write(lambda c: connectors.create_connector(c, CONNECTOR, "c", "standalone", 0))
        lookups = Lookups(database, SystemClock())
        now_ms = SystemClock().wall_ms()

        async def keep(identity: str, at_ms: int) -> None:
            question = GET_DEVICE.encode() + b"\0" + msgspec.msgpack.encode(GetQuestion(identity))
            lookups.copies.keep(CONNECTOR, question, msgspec.msgpack.encode(None), at_ms)

        async def kept() -> list[str]:
            found = await database.read(lambda c: c.execute("SELECT question FROM lookup_copy").fetchall())
            return sorted(msgspec.msgpack.decode(row[0].split(b"\0", 1)[1])["identity"] for row in found)

        for number in range(250):
            await keep(f"early {number:03}", now_ms + DAY_MS + number)
        await lookups.copies.save()
        for number in range(3):
            await keep(f"late {number}", now_ms - 60_000)
            await lookups.copies.save()
        assert (await kept())[-3:] == ["late 0", "late 1", "late 2"]
        assert len(await kept()) == 200
        assert (await kept())[0] == "early 053"  # the first that were kept went first

        page = msgspec.msgpack.encode({"rows": [], "total": 0, "next": None})
        asked = LIST_DEVICES.encode() + b"\0" + msgspec.msgpack.encode(DeviceQuery())
        lookups.copies.keep(CONNECTOR, asked, page, now_ms - 60_000)
        _, origin = await lookups.list_devices(CONNECTOR, None, DeviceQuery())
        assert origin.kind == "copy"
        assert origin.age_ms is not None
        assert 60_000 <= origin.age_ms < DAY_MS
        lookups.copies.keep(CONNECTOR, asked, page, now_ms + DAY_MS)
        _, origin = await lookups.list_devices(CONNECTOR, None, DeviceQuery())
        assert (origin.kind, origin.age_ms) == ("copy", None)
    finally:
        await database.close()


async def test_g10_an_answer_or_a_copy_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    answers = [msgspec.msgpack.encode({"rows": [], "total": 0, "next": None}), b"\x00"]
    keys = {side: PairKeys(b"p" * 16, side, {1: b"r" * 32}) for side in Side}
    asking = Calls(keys[Side.TARGET], SystemClock(), lambda method, body: b"")
    peer = Calls(keys[Side.SOURCE], SystemClock(), lambda method, body: answers.pop(0))
    asking.open_link(passes_to(peer))
    peer.open_link(passes_to(asking))
    database = await Database.open(tmp_path / "site.db", files("connector") / "sql")
    try:
        lookups = Lookups(database, SystemClock())
        page, origin = await lookups.list_devices(CONNECTOR, asking, DeviceQuery())
        assert (page is not None, origin.kind) == (True, "live")
        page, origin = await lookups.list_devices(CONNECTOR, asking, DeviceQuery())
        assert (page is not None, origin.kind, origin.why) == (True, "copy", str(Refused("answer_unreadable")))
        asked = LIST_DEVICES.encode() + b"\0" + msgspec.msgpack.encode(DeviceQuery())
        lookups.copies.keep(CONNECTOR, asked, b"\x00", 0)  # of a release that wrote it in another way
        assert await lookups.list_devices(CONNECTOR, None, DeviceQuery()) == (
            None,
            Origin("none", why=str(Refused("no_route"))),
        )
    finally:
        await database.close()
