"""A hub that is up and moves nothing: what a site says of it on every surface, with cause and fix, and when it is over (G9)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.calls import Calls
from connector.pages import samples
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.clock import SystemClock
from shared.core.repair_kinds import REPAIRS
from shared.limits import CANARY_LOST_AFTER_MS, REPAIR_CLEAR_AFTER_MS, STALLED_AFTER_MS
from shared.messages import AnyFrame, Sealed
from shared.rig.client import operator_token
from shared.rig.fault_proxy import Direction, FaultProxy
from tests.connector.site_stage import line
from tests.connector.visitors import Two, Visitor, until, visitor


class MovedClock(SystemClock):
    """The machine's clocks, all `ahead_ms` ahead: a minute without a word takes no minute here."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.ahead_ms


class Eye:
    """Looks at all surfaces of a site, and what they say of one connector."""

    def __init__(self, found: Visitor, connector_id: str, http: httpx2.AsyncClient) -> None:
        self.connector_id = connector_id
        self._found = found
        self._http = http

    async def status(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Return the flow of the connector, and the open repairs by code."""
        status = (await self._http.get("/api/v1/status")).json()
        return status["connectors"][0]["flow"], {each["code"]: each for each in status["repairs"]}

    async def look(self) -> Said:
        """Look at everything."""
        flow, repairs = await self.status()
        ready = await self._http.get("/readyz")
        return Said(
            pill_page=await self._found.get(f"/connectors/{self.connector_id}/devices"),
            repairs_page=await self._found.get("/repairs"),
            ready=ready.status_code,
            ready_body=ready.json(),
            flow=flow,
            repairs=repairs,
            measures=(await self._http.get("/metrics")).text,
        )


@dataclass(frozen=True)
class Said:
    """What each surface of a site says of its connector."""

    pill_page: str
    repairs_page: str
    ready: int
    ready_body: dict[str, Any]
    flow: dict[str, Any]
    repairs: dict[str, dict[str, Any]]
    measures: str

    @property
    def state(self) -> tuple[str, str]:
        """The state by the status, and by the measures."""
        up = re.findall(r'^pairhub_link_state{.*state="(\w+)"} 1.0$', self.measures, re.MULTILINE)
        return self.flow["state"], " ".join(up)

    def measure(self, name: str) -> float:
        """Return a measure of the pair."""
        (value,) = re.findall(rf"^{name}{{.*}} (.*)$", self.measures, re.MULTILINE)
        return float(value)

    def says_why(self, code: str, peer: str) -> bool:
        """Whether a repair stands on its page and in the status with cause and fix, and in the measures."""
        words = [each.format(peer=peer) for each in (REPAIRS[code].cause, REPAIRS[code].fix)]
        by_status = [self.repairs[code]["cause"], self.repairs[code]["fix"]]
        is_on_page = all(each in self.repairs_page for each in words)
        return by_status == words and is_on_page and f'pairhub_repair_open{{code="{code}",' in self.measures


@dataclass(frozen=True)
class Pair:
    """A source that sends through a proxy, its target, and the clock of everybody."""

    two: Two
    proxy: FaultProxy
    clock: MovedClock
    source: Eye
    target: Eye

    async def take(self, timestamp: int) -> None:
        """Let the source take a reading."""
        site = self.two.source.site
        outcome = await site.ingest(self.source.connector_id, line("pump", "flow", 1.5, timestamp))
        assert outcome.accepted == 1

    async def applied(self) -> int:
        """What the target has applied."""
        books = await self.two.target.site.books(self.target.connector_id)
        return books.own.applied if books.own is not None else 0

    async def until_both(self, state: str, *, has_canary: bool) -> None:
        """Wait until both sides say this state, with or without a round trip through the pair."""

        async def both() -> bool:
            flows = [(await eye.status())[0] for eye in (self.source, self.target)]
            return all((flow["state"], flow["canary_ms"] is not None) == (state, has_canary) for flow in flows)

        await until(both, f"both to be {state}")


@asynccontextmanager
async def a_pair(folder: Path) -> AsyncIterator[Pair]:
    """Two sites that are a pair, with a device and a resource at each."""
    clock = MovedClock()
    async with AsyncExitStack() as stack:
        settings = HubSettings(port=0, data_dir=folder / "hub", open_enrolment=True)
        hub = await stack.enter_async_context(running_hub(settings, clock=clock))
        proxy = await stack.enter_async_context(FaultProxy(hub.url))
        source = await stack.enter_async_context(visitor(folder, clock=clock, hub_url=proxy.url))
        target = await stack.enter_async_context(visitor(folder, "riverside", clock=clock, hub_url=hub.url))
        two = Two(hub, source, target)
        source_id = (await source.create("Pump house")).split("/")[-1]
        await source.site.create_device(source_id, "pump")
        await source.post(f"/connectors/{source_id}/resources", alias="flow", format="number", is_synced="on")
        target_id = await two.pair(source_id)
        await target.post(f"/connectors/{target_id}/resources", alias="flow", format="number")
        eyes = []
        for found, connector_id in ((source, source_id), (target, target_id)):
            headers = {"Authorization": f"Bearer {operator_token(found.site.settings.data_dir)}"}
            http = httpx2.AsyncClient(base_url=found.running.url, headers=headers, trust_env=False, timeout=30)
            eyes.append(Eye(found, connector_id, await stack.enter_async_context(http)))
        yield Pair(two, proxy, clock, *eyes)


async def nothing_sealed_goes_up(direction: Direction, frame: AnyFrame) -> AnyFrame | None:
    """Readings, questions and answers are lost; the link, its heartbeat and all else live."""
    return None if direction == "up" and isinstance(frame, Sealed) else frame


async def test_g9_n2_a_hub_that_is_up_and_moves_nothing_is_called_stalled_everywhere_until_it_moves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "CANARY_EVERY_S", 0.1)
    monkeypatch.setattr(samples, "CANARY_AGAIN_S", 0.1)
    monkeypatch.setattr(Calls.ask, "__defaults__", (0.3,))
    async with a_pair(tmp_path) as pair:
        await pair.take(1_000)
        await until(pair.applied, "the first reading")
        await pair.until_both("connected", has_canary=True)

        pair.proxy.on_frame = nothing_sealed_goes_up
        await pair.take(2_000)
        await pair.until_both("peer_silent", has_canary=False)
        pair.clock.ahead_ms += max(STALLED_AFTER_MS, CANARY_LOST_AFTER_MS)
        source, target = await pair.source.look(), await pair.target.look()

        assert source.state == ("stalled", "stalled")
        assert "stalled: nothing applied for 1 min" in source.pill_page
        assert "stalled: nothing applied for 1 min · oldest waits 1 min" in source.pill_page
        assert "Pump house: stalled: nothing applied for 1 min · oldest waits 1 min" in source.repairs_page
        assert "2 repairs, urgent: Nothing moves" in source.pill_page
        stalled_s = [source.flow["stalled_for_s"], source.measure("pairhub_stalled_seconds")]
        waited_s = [source.flow["oldest_unapplied_s"], source.measure("pairhub_oldest_unapplied_seconds")]
        assert all(60 <= each < 120 for each in [*stalled_s, *waited_s])
        why = f"connector {pair.source.connector_id}: stalled: linked, but nothing is applied"
        assert (source.ready, source.ready_body["reasons"]) == (503, [why])
        assert source.ready_body["urgent_repairs"] == ["stalled"]
        (probed,) = source.ready_body["connectors"]
        assert (probed["state"], probed["canary_ms"]) == ("stalled", None)
        assert 60 <= probed["oldest_unapplied_s"] < 120
        assert [each["code"] for each in probed["repairs"]] == ["stalled", "no_answer"]
        assert probed["repairs"][1]["fix"].startswith("See the log of the other site;")
        assert source.repairs.keys() == {"stalled", "no_answer"}
        assert source.says_why("stalled", "riverside")
        assert source.says_why("no_answer", "riverside")

        assert target.state == ("peer_silent", "peer_silent")
        assert "no answer from the peer for 1 min" in target.pill_page
        assert (target.ready, target.ready_body["urgent_repairs"]) == (200, [])  # its own link does its work
        assert target.repairs.keys() == {"no_answer"}
        assert target.says_why("no_answer", "hillside")

        pair.proxy.on_frame = None
        await pair.take(3_000)

        async def all_applied() -> bool:
            return await pair.applied() == 3

        await until(all_applied, "what waited")
        await pair.until_both("connected", has_canary=True)
        pair.clock.ahead_ms += REPAIR_CLEAR_AFTER_MS
        for eye in (pair.source, pair.target):
            now = await eye.look()
            assert (now.state, now.ready, now.repairs) == (("connected", "connected"), 200, {})
            assert "connected via" in now.pill_page
            assert now.measure("pairhub_stalled_seconds") == 0
            assert "pairhub_repair_open{" not in now.measures
