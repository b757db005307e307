"""Readings through crashes and cut networks: each arrives once, bit for bit, and the account balances (N4, N6, W10)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from shared.errors import PairhubError
from shared.rig.client import ApiRefused, until
from shared.rig.daemons import Daemon
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import START_MS, NotYet, Paired, Site, Stage

pytestmark = SAME_LOOP


def daemon_of(stage: Stage, name: str) -> Daemon:
    """Return the daemon that plays a part."""
    return {"source": stage.plant.daemon, "target": stage.office.daemon, "hub": stage.hub}[name]


class Poster:
    """A device gateway: posts batch after batch, each again until it was answered, while `running`."""

    def __init__(self, pair: Paired, seed: int = 1) -> None:
        self._pair = pair
        self._chance = random.Random(seed)
        self._running = True
        self.batches = 0
        self.repeated = 0
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self._running:
            count = self._chance.randint(1, 60)
            device = f"pump {self._chance.randint(1, 3)}"
            values = [
                self._chance.choice([round(self._chance.gauss(20, 5), 2), self._chance.random(), -0.0, 1e-9])
            ] * count
            times = [START_MS + self.batches * 100 + at for at in range(count)]
            body = b"\n".join(
                msgspec.json.encode({"device": device, "resource": "flow", "timestamp": at, "value": value})
                for at, value in zip(times, values, strict=True)
            )
            await self._until_answered(body, count)
            self._pair.posted.setdefault((device, "flow"), {}).update(zip(times, values, strict=True))
            self.batches += 1

    async def _until_answered(self, body: bytes, count: int) -> None:
        while True:
            try:
                outcome = await self._pair.source.post(f"/connectors/{self._pair.source_id}/readings", body)
            except PairhubError as error:
                # A daemon that starts has a new token a moment before its file says so.
                if isinstance(error, ApiRefused) and error.code != "not_signed_in":
                    raise
                await asyncio.sleep(0.02)  # the daemon is away; nobody can wait for its coming but by asking
                continue
            assert outcome["accepted"] + outcome["repeated"] == count, outcome
            self.repeated += outcome["repeated"]
            return

    async def until_batches(self, more: int) -> None:
        """Wait until so many further batches were answered."""
        wanted = self.batches + more

        async def there() -> bool:
            if self.task.done():
                await self.task
            return self.batches >= wanted

        await until(there, what="batches to be answered", timeout_s=45)

    async def stop(self) -> None:
        """Let the batch under way be answered, then end."""
        self._running = False
        await self.task


@pytest.mark.parametrize("victim", ["source", "target", "hub"])
async def test_n6_everything_arrives_once_in_spite_of_kill_9(stage: Stage, victim: str) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    poster = Poster(pair)
    await poster.until_batches(15)
    for _ in range(2):
        await daemon_of(stage, victim).kill()
        if victim != "source":
            await poster.until_batches(10)
        await stage.heal()
        await poster.until_batches(15)
    await poster.stop()
    await pair.until_balanced()
    await pair.check_delivered()


async def test_n6_all_three_are_killed_at_once_and_go_on(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    poster = Poster(pair, seed=2)
    await poster.until_batches(10)
    await asyncio.gather(*(daemon_of(stage, name).kill() for name in ("hub", "source", "target")))
    await stage.heal()
    await poster.until_batches(10)
    await poster.stop()
    await pair.until_balanced()
    await pair.check_delivered()


@pytest.mark.parametrize("away", ["target", "hub"])
async def test_w10_what_waits_while_one_is_stopped_arrives_when_it_is_back(stage: Stage, away: str) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.post(10)
    await pair.until_balanced()
    assert await daemon_of(stage, away).stop() < 5
    for _ in range(30):
        await pair.post(300)
    own = await pair.source.own_account(pair.source_id)
    assert (own["accepted"], own["queued"]) == (9_010, 9_000)
    backlog = (await pair.source.connector(pair.source_id))["backlog"]
    assert backlog["count"] == 9_000
    assert backlog["bytes"] > 0
    await stage.heal()
    await pair.until_balanced()
    await pair.check_delivered()


@pytest.mark.parametrize("where", ["plant", "office", "both"])
async def test_w10_a_network_that_flaps_loses_nothing(stage: Stage, where: str) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    poster = Poster(pair, seed=3)
    proxies = {"plant": [stage.plant.proxy], "office": [stage.office.proxy]}.get(
        where, [stage.plant.proxy, stage.office.proxy]
    )
    for _ in range(4):
        await poster.until_batches(4)
        for proxy in proxies:
            proxy.cut()
        await poster.until_batches(4)
        for proxy in proxies:
            proxy.mend()
        await pair.until_linked()
    await poster.stop()
    await pair.until_balanced()
    await pair.check_delivered()


async def test_a_half_open_network_holds_everything_and_then_lets_it_pass_or_breaks(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    for proxy in (stage.plant.proxy, stage.office.proxy):
        proxy.freeze()
        for _ in range(10):
            await pair.post(50)
        own = await pair.source.own_account(pair.source_id)
        assert own["queued"] >= 500
        proxy.mend()
        await pair.until_balanced()
        proxy.freeze()
        await pair.post(50)
        proxy.drop()
        proxy.mend()
        await pair.until_balanced()
    await pair.check_delivered()


async def test_values_of_every_format_come_out_bit_equal(stage: Stage) -> None:
    pair = await stage.pair()
    numbers: list[Any] = [0.1, 1 / 3, 1e308, -1.7976931348623157e308, 5e-324, 2.0**53, -0.0, 0.0, 123456.789, 1e22]
    texts: list[Any] = ["", "ä€😀", "a\x00b", "\n\t\"'\\<script>", "x" * 65_536, "𝔘" * 16_384, "NaN"]
    await pair.sync("flow")
    await pair.sync("note", "string", unit="µ")
    await pair.sync("on", "boolean")
    await pair.post(len(numbers), "Lüfter 1", "flow", numbers)
    await pair.post(len(texts), "Lüfter 1", "note", texts)
    await pair.post(40, "Lüfter 1", "note", ["the same long text, " * 3_000] * 40)
    await pair.post(4, "a/b?c#d", "on", [True, False, False, True])
    await pair.until_balanced()
    pair.posted[("a%2Fb%3Fc%23d", "on")] = pair.posted.pop(("a/b?c#d", "on"))
    await pair.check_delivered()


async def test_w9_held_back_while_the_resource_is_missing_and_released_when_it_is_created(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.sync("heat", at_target=False)
    await pair.post(20, resource="heat")
    await pair.post(20, resource="flow")
    await pair.until_match(stage.plant, pair.source_id, "heat", "missing_there")
    await pair.until_match(stage.office, pair.target_id, "heat", "missing_here")

    async def only_heat_waits() -> bool:
        own = await pair.source.own_account(pair.source_id)
        return (own["applied"], own["queued"]) == (20, 20)

    await until(only_heat_waits, what="flow to be applied and heat to wait")
    (row,) = [
        row for row in await stage.plant.rows(f"/connectors/{pair.source_id}/resources") if row["alias"] == "heat"
    ]
    assert row["waiting"] == 20
    await stage.office.post(f"/connectors/{pair.target_id}/resources/heat/create-here")
    await pair.until_balanced()
    await pair.check_delivered()
    await pair.until_match(stage.plant, pair.source_id, "heat", "same")


async def test_w9_a_resource_that_differs_is_held_back_and_both_sides_name_what_differs(stage: Stage) -> None:
    pair = await stage.pair()
    await stage.office.post(
        f"/connectors/{pair.target_id}/resources", {"alias": "flow", "format": "number", "unit": "m3"}
    )
    await pair.sync("flow", at_target=False, unit="l/s", allowed={"low": 0, "high": None})
    await pair.post(5, values=[1.0] * 5)
    for site, connector_id in ((stage.plant, pair.source_id), (stage.office, pair.target_id)):
        await pair.until_match(site, connector_id, "flow", "different")
        (row,) = await site.rows(f"/connectors/{connector_id}/resources")
        assert row["different"] == ["unit", "allowed"]
    own = await pair.source.own_account(pair.source_id)
    assert (own["accepted"], own["applied"], own["queued"]) == (5, 0, 5)


async def test_w9_the_toggle_decides_what_flows_and_switching_it_off_still_delivers_what_waits(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    switch = f"/connectors/{pair.source_id}/resources/flow/remote-sync"
    stage.office.proxy.cut()
    await pair.post(10)
    await stage.plant.ask("PUT", switch, {"on": False})
    body = msgspec.json.encode({"device": "pump", "resource": "flow", "timestamp": START_MS - 1, "value": 1.0})
    assert (await stage.plant.post(f"/connectors/{pair.source_id}/readings", body))["accepted"] == 1
    stage.office.proxy.mend()
    await pair.until_balanced(accepted=10)
    await pair.check_delivered()
    await stage.plant.ask("PUT", switch, {"on": True})
    await pair.post(10)
    await pair.until_balanced(accepted=20)
    await pair.check_delivered()
    assert START_MS - 1 in await stage.plant.readings(pair.source_id, "pump", "flow")


async def test_n9_a_range_is_sent_again_through_a_cut_and_a_kill_and_the_account_does_not_move(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await stage.plant.ask("PUT", f"/connectors/{pair.source_id}/resources/flow/remote-sync", {"on": False})
    for _ in range(8):
        await pair.post(5_000)
    await stage.plant.ask("PUT", f"/connectors/{pair.source_id}/resources/flow/remote-sync", {"on": True})
    stage.plant.proxy.cut()
    asked = await stage.office.post(f"/connectors/{pair.target_id}/replays", {"from_ms": START_MS})
    stage.plant.proxy.mend()

    async def state(site: Site, connector_id: str) -> Any:
        return await site.get(f"/connectors/{connector_id}/replays/{asked['replay_id']}")

    async def some_arrived() -> bool:
        return bool((await state(stage.office, pair.target_id))["arrived"])

    async def both_done() -> bool:
        states = [await state(stage.plant, pair.source_id), await state(stage.office, pair.target_id)]
        if any(each["state"] != "done" for each in states):
            raise NotYet(f"{states}")
        for each in states:
            assert [each[name] for name in ("sent", "arrived", "added", "present")] == [40_000, 40_000, 40_000, 0]
        return True

    await until(some_arrived, what="the replay to begin")
    await stage.plant.daemon.kill()
    await stage.heal()
    await until(both_done, timeout_s=60, what="the replay to end")
    await pair.check_delivered()
    await pair.until_balanced(accepted=0)


async def test_w11_the_target_refuses_readings_and_names_the_source(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    with pytest.raises(ApiRefused, match="source site 'plant'") as caught:
        await stage.office.post(
            f"/connectors/{pair.target_id}/readings", b'{"device":"pump","resource":"flow","value":1}'
        )
    assert caught.value.code == "target_not_writable"


async def test_source_and_target_may_be_connectors_of_one_site_beside_a_standalone_one(stage: Stage) -> None:
    source_id = await stage.source()
    lone_id = await stage.source()
    target_id = await stage.claim(await stage.window(source_id), stage.plant)
    pair = Paired(stage.plant, source_id, stage.plant, target_id)
    await pair.until_linked()
    await pair.sync("flow")
    await stage.plant.post(f"/connectors/{lone_id}/resources", {"alias": "flow", "format": "number"})
    await stage.plant.post(f"/connectors/{lone_id}/readings", b'{"device":"pump","resource":"flow","value":1}')
    await pair.post(100)
    await stage.plant.daemon.kill()
    await stage.heal()
    await pair.post(100)
    await pair.until_balanced()
    await pair.check_delivered()
    assert len(await stage.plant.readings(lone_id, "pump", "flow")) == 1
    roles = {row["connector_id"]: row["role"] for row in await stage.plant.get("/connectors")}
    assert (roles[source_id], roles[target_id], roles[lone_id]) == ("source", "target", "standalone")


# --- lookups and edits --------------------------------------------------------------------------------------------------


async def test_w7_lookups_are_live_with_a_round_trip_or_the_last_good_copy_with_its_age(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.post(3, "pump 7")
    await stage.plant.post(f"/connectors/{pair.source_id}/devices/pump%207/tags", {"name": "place", "value": "hall"})
    grant = {"kind": "group", "subject": "night shift", "level": "write"}
    await stage.plant.ask("PUT", f"/connectors/{pair.source_id}/devices/pump%207/grants", grant)
    devices = f"/connectors/{pair.target_id}/devices"

    async def looked_up(path: str) -> Any:
        found = await stage.office.get(path)
        return found if found["origin"] == "live" else None

    found = await until(lambda: looked_up(f"{devices}?from=peer"), what="a live answer")
    assert found["round_trip_ms"] > 0
    (row,) = found["rows"]
    assert (row["identity"], row["tags"]) == ("pump 7", [["place", "hall"]])
    one = await stage.office.get(f"{devices}/pump%207?from=peer")
    assert one["origin"] == "live"
    assert [{**grant, **row} == row for row in one["grants"]] == [True]
    assert one["configuration"] == {}
    assert [reading[1] for reading in one["values"][0]["recent"]] == list(pair.posted[("pump 7", "flow")].values())
    assert (await stage.plant.get(f"/connectors/{pair.source_id}/devices?from=peer"))["origin"] == "live"

    source = f"/connectors/{pair.source_id}/peer-rights"
    rights = await stage.plant.get(source)
    with pytest.raises(ApiRefused, match="look_upp"):
        await stage.plant.ask("PUT", source, {"look_upp": False})
    assert await stage.plant.get(source) == rights
    assert await stage.plant.ask("PUT", source, {"edit_tags": False}) == {**rights, "edit_tags": False}
    # A right that is not named stays as it is.
    assert await stage.plant.ask("PUT", source, {"look_up": False}) == {**rights, "edit_tags": False, "look_up": False}
    denied = await stage.office.get(f"{devices}?from=peer")
    assert (denied["origin"], denied["why"][:58]) == (
        "copy",
        "The other site does not let this one look up devices. Its ",
    )
    await stage.plant.ask("PUT", source, rights)

    stage.office.proxy.cut()

    async def copied() -> Any:
        found = await stage.office.get(f"{devices}?from=peer")
        return found if found["origin"] == "copy" else None

    copy = await until(copied, what="the copy")
    assert copy["rows"] == [row]
    assert copy["age_ms"] >= 0
    assert copy["why"]
    stage.shift_clocks(90_000)
    assert (await stage.office.get(f"{devices}?from=peer"))["age_ms"] >= 90_000
    never_asked = await stage.office.get(f"{devices}?from=peer&search=nothing")
    assert (never_asked["origin"], never_asked["rows"]) == ("none", [])
    code = (await refused(stage.office.get(f"{devices}/ghost?from=peer"))).code
    assert code == "not_found"
    stage.office.proxy.mend()
    await until(lambda: looked_up(f"{devices}?from=peer"), what="a live answer again", timeout_s=45)


async def refused(asked: Any) -> ApiRefused:
    """Await what must be refused."""
    with pytest.raises(ApiRefused) as caught:
        await asked
    return caught.value


async def tags(stage: Stage, pair: Paired) -> tuple[set[tuple[str, str]], set[tuple[str, str]], int]:
    """Return the pump's tags at both sides, and the edits that wait."""
    found = []
    pending = 0
    for site, connector_id in ((stage.plant, pair.source_id), (stage.office, pair.target_id)):
        rows = (await site.get(f"/connectors/{connector_id}/devices?search=pump"))["rows"]
        found.append({(tag[0], tag[1]) for row in rows for tag in row["tags"]})
        pending += sum(row["sync"] == "pending" for row in rows)
    return found[0], found[1], pending


async def test_w8_tags_are_edited_from_either_side_and_pending_edits_meet_after_an_outage(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.post(1)
    await pair.until_balanced()
    at_source = f"/connectors/{pair.source_id}/devices/pump/tags"
    at_target = f"/connectors/{pair.target_id}/devices/pump/tags"
    await stage.plant.post(at_source, {"name": "place", "value": "hall"})
    await stage.office.post(at_target, {"name": "place", "value": "east"})

    async def until_both(wanted: set[tuple[str, str]]) -> None:
        async def same() -> bool:
            seen = await tags(stage, pair)
            if seen != (wanted, wanted, 0):
                raise NotYet(str(seen))
            return True

        await until(same, what=f"both sides to show {wanted}", timeout_s=45)

    await until_both({("place", "hall"), ("place", "east")})
    for proxy in (stage.plant.proxy, stage.office.proxy):
        proxy.cut()
    await stage.plant.post(at_source, {"name": "owner", "value": "ann"})
    await stage.plant.ask("DELETE", at_source, {"name": "place", "value": "east"})
    await stage.office.post(at_target, {"name": "owner", "value": "bob"})
    await stage.office.ask("DELETE", at_target, {"name": "place", "value": "hall"})
    source, target, pending = await tags(stage, pair)
    assert source == {("place", "hall"), ("owner", "ann")}
    assert target == {("place", "east"), ("owner", "bob")}
    assert pending >= 2
    await stage.office.daemon.kill()
    await stage.heal()
    await until_both({("owner", "ann"), ("owner", "bob")})


async def test_w8_a_name_that_both_sides_changed_while_apart_ends_the_same_on_both(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    await pair.post(1)
    await pair.until_balanced()
    for proxy in (stage.plant.proxy, stage.office.proxy):
        proxy.cut()
    await stage.plant.ask("PATCH", f"/connectors/{pair.source_id}/devices/pump", {"name": "from plant"})
    await stage.office.ask("PATCH", f"/connectors/{pair.target_id}/devices/pump", {"name": "from office"})
    await stage.heal()

    async def same() -> str | None:
        names = [
            (await site.get(f"/connectors/{connector_id}/devices/pump"))["device"]["name"]
            for site, connector_id in ((stage.plant, pair.source_id), (stage.office, pair.target_id))
        ]
        return names[0] if names[0] == names[1] else None

    assert await until(same, what="the names to agree", timeout_s=45) == "from office"  # the newer one
