"""`kill -9` of source, target or hub at each step of a pairing: afterwards both sides are paired, or neither is (G15)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import pytest
import pytest_asyncio

from shared.certificates import read_pair
from shared.core.completion import ROLL_BACK_GRACE_MS
from shared.messages import AnyFrame, Claim, ClaimStep, Knock, PresentPair, Sealed
from shared.rig.client import until
from shared.rig.daemons import Daemon
from shared.rig.fault_proxy import Direction
from shared.sealing import Header, Kind
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import NotYet, Site, Stage

pytestmark = SAME_LOOP
_WINDOW_MS = 10 * 60_000
Step = Literal["knock", "counter", "proof", "completion", "hello", "welcome"]
STEPS: tuple[Step, ...] = ("knock", "counter", "proof", "completion", "hello", "welcome")


class Stopper:
    """Holds each of several pairings, known by their source, just before a step of its own passes a proxy."""

    def __init__(self, stage: Stage, steps: Mapping[str, Step]) -> None:
        self._steps = steps
        self._claims: dict[bytes, str] = {}
        self._pairs: dict[bytes, str] = {}
        self._answered: set[str] = set()
        self._released = asyncio.Event()
        self._drop = False
        self.reached = {source_id: asyncio.Event() for source_id in steps}
        stage.plant.proxy.on_frame = lambda direction, frame: self._show("plant", direction, frame)
        stage.office.proxy.on_frame = lambda direction, frame: self._show("office", direction, frame)

    async def until_reached(self) -> None:
        """Wait until every pairing is held at its step."""
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in self.reached.values())), 30)

    def release(self, *, drop: bool) -> None:
        """Go on; what was held is lost with `drop`, else passed on late."""
        self._drop = drop
        self._released.set()

    async def _show(self, site: str, direction: Direction, frame: AnyFrame) -> AnyFrame:
        source_id, step = self._name(site, direction, frame)
        if step is None or self._released.is_set() or self._steps.get(source_id) != step:
            return frame
        self.reached[source_id].set()
        await self._released.wait()
        if self._drop:
            raise ConnectionResetError  # what came behind it on this link is lost too
        return frame

    def _name(self, site: str, direction: Direction, frame: AnyFrame) -> tuple[str, Step | None]:
        """Say of which source's pairing a frame is, and which step; plant is the source."""
        match frame:
            case Claim():
                self._claims[frame.claim_id] = frame.connector_id
            case PresentPair():
                certificate = read_pair(frame.certificate)
                self._pairs[certificate.pair_id] = certificate.source.connector_id
            case Knock():
                return self._claims[frame.claim_id], "knock"
            case ClaimStep() if direction == "up" and site == "office":
                return self._claims[frame.claim_id], "proof"
            case ClaimStep() if direction == "up":
                source_id = self._claims[frame.claim_id]
                first = source_id not in self._answered
                self._answered.add(source_id)
                return source_id, "counter" if first else "completion"
            case Sealed() if direction == "up" and frame.header[1] == Kind.CALL:
                source_id = self._pairs.get(Header.unpack(frame.header).pair_id, "")
                return source_id, "hello" if site == "office" else "welcome"
            case _:
                pass
        return "", None


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _knocks_forgotten(stage: Stage) -> None:
    stage.shift_clocks(60_000)


async def state_of(site: Site, connector_id: str) -> str:
    """Return `paired`, `pending` or `alone`."""
    pair = (await site.connector(connector_id))["pair"]
    return str(pair["state"]) if pair else "alone"


async def target_of(stage: Stage, name: str) -> str | None:
    """Return the ID of a connector of office by its name."""
    return next((row["connector_id"] for row in await stage.office.get("/connectors") if row["name"] == name), None)


async def states(stage: Stage, source_id: str, name: str) -> tuple[str, str]:
    """Return both sides' states; a target connector that does not exist is alone."""
    target_id = await target_of(stage, name)
    return (
        await state_of(stage.plant, source_id),
        await state_of(stage.office, target_id) if target_id else "alone",
    )


async def until_same(stage: Stage, source_id: str, name: str, wanted: tuple[str, ...]) -> str:
    """Wait until both sides are in the same of the wanted states."""

    async def same() -> str | None:
        source, target = await states(stage, source_id, name)
        if source != target or source not in wanted:
            raise NotYet(f"source {source}, target {target}")
        return source

    return str(await until(same, timeout_s=45, every_s=0.1, what="both sides to agree"))


def daemon_of(stage: Stage, victim: str) -> Daemon:
    """Return the daemon that plays a part."""
    return {"source": stage.plant.daemon, "target": stage.office.daemon, "hub": stage.hub}[victim]


@pytest.mark.parametrize("victim", ["source", "target", "hub"])
async def test_a_crash_at_any_step_leaves_no_half_made_pair(stage: Stage, victim: str) -> None:
    sources = {step: await stage.source() for step in STEPS}
    windows = {step: await stage.window(source_id) for step, source_id in sources.items()}
    names = {step: f"{victim} at {step}" for step in STEPS}
    stopper = Stopper(stage, {source_id: step for step, source_id in sources.items()})
    claims = [asyncio.ensure_future(stage.claim(windows[step], name=names[step])) for step in STEPS]
    await stopper.until_reached()
    await daemon_of(stage, victim).kill()
    # What a killed source had on its way is lost, what a killed target had arrives late: both happen.
    stopper.release(drop=victim == "source")
    await stage.heal()
    await asyncio.wait_for(asyncio.gather(*claims, return_exceptions=True), 45)
    seen: dict[Step, tuple[str, str]] = {}
    for step, source_id in sources.items():
        if step in ("hello", "welcome"):
            await until_same(stage, source_id, names[step], ("paired",))
        seen[step] = await states(stage, source_id, names[step])
    # Steps before the source agreed come to nothing; from the hello on, the pairing completes.
    for step in ("knock", "counter"):
        assert seen[step] == ("alone", "alone"), (step, seen)
        await until_waiting(stage, sources[step])
    for step in ("proof", "completion"):
        assert seen[step] in (("alone", "alone"), ("pending", "alone")), (step, seen)
    assert seen["completion"] == ("pending", "alone"), "the source had agreed; the target never heard"
    # The target never heard the end of it: the source gives up when the window is over.
    stage.shift_clocks(_WINDOW_MS + ROLL_BACK_GRACE_MS)
    for step in ("proof", "completion"):
        await until_same(stage, sources[step], names[step], ("alone",))
    for step in ("hello", "welcome"):
        await until_same(stage, sources[step], names[step], ("paired",))
    assert await stage.claim(await stage.window(sources["completion"])), "the source can be paired again"


async def until_waiting(stage: Stage, source_id: str) -> None:
    """Wait until a window takes claims again; one attempt at most is gone."""

    async def waiting() -> bool:
        window = await stage.plant.get(f"/connectors/{source_id}/remote-sync")
        assert window["attempts_left"] >= 2
        return bool(window["state"] == "waiting")

    await until(waiting, what="the window to wait again")


@pytest.mark.parametrize("victim", ["source", "target", "hub"])
async def test_a_crash_while_the_window_waits_does_not_end_it(stage: Stage, victim: str) -> None:
    source_id = await stage.source()
    window = await stage.window(source_id)
    await daemon_of(stage, victim).kill()
    await stage.heal()

    async def filed() -> Any:
        return (await stage.plant.get(f"/connectors/{source_id}/remote-sync")).get("filed")

    await until(filed, what="the hub to file the window again")
    await stage.claim(window, name=f"waits {victim}")
    assert await until_same(stage, source_id, f"waits {victim}", ("paired",)) == "paired"


@pytest.mark.parametrize(
    "source", ["stays up", "is down until then", "is down and the hub loses its disk", "starts without a network"]
)
async def test_a_target_that_missed_the_whole_window_hears_that_the_pairing_is_off(stage: Stage, source: str) -> None:
    source_id = await stage.source()
    window = await stage.window(source_id)
    stopper = Stopper(stage, {source_id: "hello"})
    name = f"missed, source {source}"
    claim = asyncio.ensure_future(stage.claim(window, name=name))
    await stopper.until_reached()
    stage.office.proxy.cut()
    await asyncio.wait_for(claim, 40)
    assert await states(stage, source_id, name) == ("pending", "pending")
    if source != "stays up":
        await stage.plant.daemon.kill()
    stage.shift_clocks(_WINDOW_MS + ROLL_BACK_GRACE_MS)

    async def given_up() -> bool:
        return await state_of(stage.plant, source_id) == "alone"

    if source == "stays up":
        await until(given_up, what="the source to give up")
    if "disk" in source:
        await stage.hub.kill()
        for path in stage.hub.data_dir.iterdir():
            path.unlink()
    if source == "starts without a network":
        stage.plant.proxy.cut()
        await stage.plant.start()
        await until(given_up, what="the source to give up")
        await stage.plant.daemon.kill()
    await stage.heal()
    assert await until_same(stage, source_id, name, ("alone", "paired")) == "alone"
