"""The hub as an honest stranger at best: it may lose its disk, cannot read what it carries, and cannot be imitated (N10)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.errors import PairhubError
from shared.limits import SEGMENT_READINGS_MAX
from shared.messages import AnyFrame, Recorded, RecordedEpoch, Sealed, Statement, encode_frame
from shared.rig.client import until
from shared.rig.fault_proxy import Direction
from shared.sealing import Header, Kind
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Paired, Site, Stage

pytestmark = SAME_LOOP


async def until_registered(stage: Stage, pair: Paired) -> None:
    """Wait until the hub knows both sites and the pair."""
    pair_id = (await stage.plant.connector(pair.source_id))["pair"]["pair_id"]

    async def known() -> bool:
        status = await stage.hub_status()
        sites = {row["site_name"] for row in status["sites"]}
        pairs = {row["pair_id"]: row for row in status["pairs"]}
        if sites != {"plant", "office"} or pair_id not in pairs:
            raise NotYet(f"{sites}, {list(pairs)}")
        return bool(pairs[pair_id]["source_linked"] and pairs[pair_id]["target_linked"])

    await until(known, what="the hub to know sites and pair again", timeout_s=45)


@pytest.mark.parametrize("hub", ["keeps running", "is killed", "is killed while the target is away"])
async def test_n10_the_hub_loses_its_disk_and_no_reading_is_lost(stage: Stage, hub: str) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.post(100)
    await pair.until_balanced()
    if "away" in hub:
        await stage.office.daemon.kill()
        # More than the tail gathers: what follows waits for the target's link, at the source alone.
        for _ in range(SEGMENT_READINGS_MAX // 1_000 + 1):
            await pair.post(1_000)

        async def copies() -> int:
            return sum(row["copies"] for row in (await stage.hub_status())["pairs"])

        await until(copies, what="the hub to hold copies")
    if "killed" in hub:
        await stage.hub.kill()
        shutil.rmtree(stage.hub.data_dir)
    else:
        shutil.rmtree(stage.hub.data_dir, ignore_errors=True)  # the hub, which has noticed, takes its files away too
        for _ in range(10):
            await pair.post(50)
    await pair.post(50)
    await stage.heal()
    await pair.post(50)
    await pair.until_balanced()
    await pair.check_delivered()
    await until_registered(stage, pair)
    # The registry is whole again: the source takes no second claim.
    again = await stage.pair()
    assert again.target_id != pair.target_id


# --- what the hub sees --------------------------------------------------------------------------------------------------


def memory_of(pid: int) -> bytes:
    """Return what stands in the writable memory of a process."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for row in maps:
            span, rights, *_ = row.split()
            if not rights.startswith("rw"):
                continue
            low, high = (int(end, 16) for end in span.split("-"))
            with contextlib.suppress(OSError, ValueError, OverflowError):
                memory.seek(low)
                found.append(memory.read(high - low))
    return b"".join(found)


def files_of(folder: Path) -> bytes:
    """Return all that a daemon has written, and its log."""
    paths = [*folder.rglob("*"), folder.with_name(folder.name + ".log")]
    return b"".join(path.read_bytes() for path in paths if path.is_file())


def keys_of(site: Site) -> list[bytes]:
    """Return the secrets that a site keeps: the roots of its pairs, and the key that it signs with."""
    with closing(sqlite3.connect(f"file:{site.daemon.data_dir / 'site.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT root FROM pair UNION SELECT value FROM meta WHERE name = 'identity_private'")
        return [bytes(row[0]) for row in rows]


def written(key: bytes) -> list[bytes]:
    """Return the ways in which a key may be written down."""
    return [key, key.hex().encode(), base64.b64encode(key).rstrip(b"="), base64.urlsafe_b64encode(key).rstrip(b"=")]


async def test_n10_the_hub_never_sees_names_values_tags_keys_or_the_code(stage: Stage) -> None:
    wire = bytearray()

    async def listen(direction: Direction, frame: AnyFrame) -> AnyFrame:
        wire.extend(encode_frame(frame))
        return frame

    stage.plant.proxy.on_frame = stage.office.proxy.on_frame = listen
    source_id = await stage.source()
    window = await stage.window(source_id)
    target_id = await stage.claim(window)
    pair = Paired(stage.plant, source_id, stage.office, target_id)
    await pair.until_linked()
    secrets = {
        "device": "canary-device-quetzal",
        "resource": "canary-alias-ibex",
        "value": "canary-value-okapi",
        "tag": "canary-tag-narwhal",
    }
    await pair.sync(secrets["resource"], "string")
    stage.office.proxy.cut()  # so that the hub has to keep copies
    await pair.post(30, secrets["device"], secrets["resource"], [f"{secrets['value']} {at}" for at in range(30)])
    tags = f"/connectors/{source_id}/devices/{secrets['device']}/tags"
    await stage.plant.post(tags, {"name": secrets["tag"], "value": "x"})

    async def copies() -> int:
        return sum(row["copies"] for row in (await stage.hub_status())["pairs"])

    await until(copies, what="the hub to hold copies")
    stage.office.proxy.mend()
    await pair.until_balanced()
    await pair.check_delivered()
    code = window["code"]
    canaries = [*secrets.values(), code, code.replace("-", ""), code[:-2].replace("-", "")]
    # Memory forgets: what was there for a moment only is seen on the wire.
    seen = {"memory": memory_of(stage.hub.pid), "files": files_of(stage.hub.data_dir), "wire": bytes(wire)}
    for place, content in seen.items():
        assert source_id.encode() in content, f"the search of the hub's {place} finds nothing at all"
        for canary in canaries:
            assert canary.encode() not in content, f"{canary} stands in the hub's {place}"
            assert canary.encode("utf-16-le") not in content, f"{canary} stands in the hub's {place}"
        for key in {*keys_of(stage.plant), *keys_of(stage.office)}:
            assert not any(way in content for way in written(key)), f"a key of a site stands in the hub's {place}"
    at_source = memory_of(stage.plant.daemon.pid) + files_of(stage.plant.daemon.data_dir)
    assert all(key in at_source for key in keys_of(stage.plant)), "the keys are not where the test looks"
    assert len({*keys_of(stage.plant), *keys_of(stage.office)}) >= 3  # the pair's, and each site's own
    assert all(canary.encode() in at_source for canary in secrets.values()), "the canaries were never there"


# --- a man in the middle ------------------------------------------------------------------------------------------------


def flipped(data: bytes, at: int) -> bytes:
    """Return bytes with one bit changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("what", ["segments", "statements", "headers", "controls"])
async def test_g7_altered_bytes_are_refused_and_nothing_is_lost(stage: Stage, what: str) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    altered = 0

    async def alter(direction: Direction, frame: AnyFrame) -> AnyFrame:
        nonlocal altered
        match frame:
            case Sealed() if what == "segments" and frame.header[1] == Kind.SEGMENT:
                changed: AnyFrame = Sealed(frame.lane, frame.header, flipped(frame.body, altered))
            case Sealed() if what == "headers" and frame.header[1] == Kind.SEGMENT:
                header = Header.unpack(frame.header)
                # Same number, other count and time: readable for the hub, and a lie.
                lie = msgspec.structs.replace(header, accepted_ms=1, count=9_999)
                changed = Sealed(frame.lane, lie.pack(), frame.body)
            case Sealed() if what == "controls" and frame.header[1] == Kind.CONTROL:
                changed = Sealed(frame.lane, frame.header, flipped(frame.body, altered))
            case Statement() if what == "statements":
                changed = Statement(frame.header, frame.public, flipped(frame.body, altered))
            case _:
                return frame
        altered += 1
        return changed

    stage.plant.proxy.on_frame = alter
    for _ in range(10):
        await pair.post(20)
    await stage.plant.post(f"/connectors/{pair.source_id}/devices/pump/tags", {"name": "a", "value": "b"})

    async def tampered() -> bool:
        return altered >= 2

    await until(tampered, what="frames to be altered")
    own = await pair.source.own_account(pair.source_id)
    assert own["accepted"] == 200
    if what == "statements":
        assert own["applied"] == 0, "an acknowledgement that was tampered with was believed"
    stage.plant.proxy.on_frame = None
    stage.plant.proxy.drop()
    # The hub holds damaged copies now. The source insists on them after a silence, which the clocks bring near.
    for _ in range(12):
        await pair.until_linked()
        stage.shift_clocks(31_000)
        await pair.post(1)
        with contextlib.suppress(PairhubError):
            await pair.until_balanced(timeout_s=2)
            break
    await pair.until_balanced()
    await pair.check_delivered()


async def test_g4_a_hub_that_claims_everything_was_applied_is_not_believed(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    epochs: dict[int, int] = {}
    seen: list[Statement] = []
    told = 0

    async def lie(direction: Direction, frame: AnyFrame) -> AnyFrame | bytes | None:
        nonlocal told
        if isinstance(frame, Sealed) and frame.header[1] == Kind.SEGMENT and direction == "up":
            header = Header.unpack(frame.header)
            epochs[header.epoch] = max(epochs.get(header.epoch, 0), header.number)
            return None  # swallowed; and then
        if isinstance(frame, Statement) and direction == "down":
            public = msgspec.msgpack.decode(frame.public, type=Recorded)
            all_of_them = [RecordedEpoch(epoch, [1, last], []) for epoch, last in epochs.items()]
            forged = Recorded(public.nonce, public.whole, all_of_them, public.control)
            # The oldest statement of all, and a forged public part on the newest.
            seen.append(frame)
            told += bool(epochs)
            old = seen[0]
            return Statement(old.header if told % 2 else frame.header, msgspec.msgpack.encode(forged), frame.body)
        return frame

    stage.plant.proxy.on_frame = lie
    for _ in range(10):
        await pair.post(20)
    stage.plant.proxy.drop()  # a new link asks for a new statement

    async def lied() -> Any:
        return told

    await until(lied, what="statements to be forged")
    own = await pair.source.own_account(pair.source_id)
    assert (own["accepted"], own["applied"], own["queued"]) == (200, 0, 200)
    stage.plant.proxy.on_frame = None
    stage.plant.proxy.drop()
    await pair.until_balanced()
    await pair.check_delivered()


async def test_replayed_and_reordered_frames_change_nothing(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    kept: list[AnyFrame] = []

    async def replay(direction: Direction, frame: AnyFrame) -> AnyFrame | bytes | None:
        if not isinstance(frame, Sealed) or direction != "down" or frame.header[1] != Kind.SEGMENT:
            return frame
        kept.append(frame)
        if len(kept) % 3 == 0:
            return kept[len(kept) // 2]  # an old one instead of the new one
        return frame

    stage.office.proxy.on_frame = replay
    for _ in range(20):
        await pair.post(10)
    await asyncio.wait_for(until_seen(kept, 6), 20)
    stage.office.proxy.on_frame = None
    stage.office.proxy.drop()
    await pair.until_balanced()
    await pair.check_delivered()


async def until_seen(kept: list[AnyFrame], count: int) -> None:
    """Wait until so many frames came by."""

    async def enough() -> bool:
        return len(kept) >= count

    await until(enough, what="frames to come by")
