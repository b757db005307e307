"""The fake world: one seed, one clock, two sites, a hub and the links between them."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from shared.batches import Format, Value
from shared.core import control, engine, entries, inbox, outbox, relay_memory, relay_stream, sending, tail
from shared.core.outbox import OutboxLimits
from shared.limits import DAY_MS, HOUR_MS, SECOND_MS
from shared.sealing import Side
from tests.simulation.hub import PAIR_ID
from tests.simulation.lying_hub import LyingHub
from tests.simulation.network import Link, Violation, corrupted, is_opening
from tests.simulation.site import SimSite
from tests.simulation.spoiling_keys import SpoilingKeys

DEVICES: Final = ("d0", "d1", "d2", "d3", "d4")
MORTAL: Final = "d4"  # the only device that is ever deleted
RESOURCES: Final[tuple[tuple[str, Format], ...]] = (("temp", "number"), ("mood", "string"), ("on", "boolean"))
_START_MS: Final = 1_795_000_000_000 - 1_795_000_000_000 % DAY_MS + 23 * HOUR_MS
_NOTICED_AFTER_MS: Final = 30 * SECOND_MS
_SIDES: Final = tuple(Side)
# How often clocks may go off at one and the same time.
_RINGS_MAX: Final = 2_000

# Small bounds, so that short runs come by the code at the edge of each of them.
TIGHT: Final[tuple[tuple[ModuleType, dict[str, int]], ...]] = (
    (
        outbox,
        {
            "SEGMENT_READINGS_MAX": 8,
            "_EXPIRE_SEGMENTS_MAX": 2,
            "_TAIL_CHUNKS_EXPIRED_MAX": 3,
            "_TAIL_SEALED_MAX": 2,
        },
    ),
    (
        sending,
        {
            "FRESH_SEGMENTS_MAX": 3,
            "LIVE_IN_FLIGHT_MAX": 2,
            "BACKFILL_IN_FLIGHT_MAX": 3,
            "SEGMENT_READINGS_MAX": 8,
            "_LOOKED_AT_MAX": 2,
            "_READ_AT_ONCE": 1,
        },
    ),
    (tail, {"TAIL_MERGED_CHUNKS": 3, "TAIL_MERGED_READINGS": 8}),
    (control, {"CONTROL_IN_FLIGHT_MAX": 3}),
    (entries, {"CELLS_PER_ENTRY_MAX": 2}),
    (inbox, {"_HELD_RELEASED_MAX": 2}),
    (relay_stream, {"CONTROL_IN_FLIGHT_MAX": 3, "HUB_LOAD_BYTES": 600, "HUB_STORE_BYTES": 600}),
)
TIGHT_CREDIT: Final[tuple[tuple[ModuleType, dict[str, int]], ...]] = (
    (engine, {"CREDIT_GRANT_BYTES": 300}),
    (sending, {"LIVE_RESERVE_BYTES": 500, "BACKFILL_IN_FLIGHT_BYTES": 1_000}),
    (
        relay_stream,
        {
            "CREDIT_BYTES": 2_000,
            "CREDIT_GRANT_BYTES": 300,
            "LIVE_RESERVE_BYTES": 500,
            "BACKFILL_IN_FLIGHT_BYTES": 1_000,
            "HUB_MEMORY_BYTES_PER_STREAM": 4_000,
            "HUB_MEMORY_BYTES_SHORT": 1_000,
            "HUB_MEMORY_COPIES_PER_STREAM": 12,
        },
    ),
    (relay_memory, {"HUB_MEMORY_BYTES_MAX": 3_000}),
)


def bounds(*tables: tuple[tuple[ModuleType, dict[str, int]], ...]) -> AbstractContextManager[Any]:
    """Set bounds of the core for as long as the context lasts."""
    stack = ExitStack()
    for table in tables:
        for module, values in table:
            for name, value in values.items():
                stack.enter_context(patch.object(module, name, value))
    return stack


@dataclass(slots=True)
class Weather:
    """Chances, per frame, that the network misbehaves; all 0 is fair."""

    drop: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    slow: float = 0.0
    corrupt: float = 0.0

    @property
    def fair(self) -> bool:
        """Whether nothing happens to any frame."""
        return not (self.drop or self.repeat or self.reorder or self.slow or self.corrupt)


class World:
    """All there is. `chance` decides what happens, `note` records it."""

    def __init__(self, seed: int, *, limits: OutboxLimits | None = None, skew_ms: tuple[int, int] = (0, 0)) -> None:
        self.chance = Random(seed)
        self.crowded = seed % 3 == 2
        """Whether sites have many other pairs at work."""
        self.looks_each_time = seed % 8 == 1
        """Whether the costly demands, too, are made after every commit, and not after every few."""
        self.now_ms = _START_MS
        self.weather = Weather()
        self.fault_count: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=400)
        self.keep_trace = False
        self._digest = sha256()
        self.replayed = False  # whether past ranges were sent again: the target then has more than the stream brought
        self.ended: set[tuple[str, int]] = set()
        """Devices that were ever deleted, with their generation: their history went with them."""
        self._links_made = 0
        self._deaf: list[Link] = []
        self._rung_ms = self._rings = 0
        self.apart_until_ms: dict[Side, int] = {}
        """Sides that are cut off from all hubs, until when."""
        self.clocks_are_off = False
        """Whether wall clocks jump or drift, so that daemons have to wake up now and then to notice."""
        self.lied = False
        """Whether any hub ever lied: then sites may find that it broke the protocol."""
        self.hubs = [LyingHub(self, number) for number in range(2)]
        self.meeting = self.hubs[:1]
        """The hubs that sites dial."""
        root = {1: self.chance.randbytes(32)}
        limits = limits or OutboxLimits()
        self.sites: dict[Side, SimSite] = {}
        self.clones: list[SimSite] = []
        for side in Side:
            keys = SpoilingKeys(PAIR_ID, side, root)
            keys.spoiled = []
            self.sites[side] = SimSite(self, side, keys, limits, skew_ms=skew_ms[side])

    @property
    def source(self) -> SimSite:
        """The source; of two copies, the one that was there first or that is left."""
        return self.sites[Side.SOURCE]

    @property
    def target(self) -> SimSite:
        """The target; of two copies, the one that was there first or that is left."""
        return self.sites[Side.TARGET]

    @property
    def hub(self) -> LyingHub:
        """The first of the hubs, and mostly the only one."""
        return self.hubs[0]

    @property
    def everyone(self) -> list[SimSite]:
        """Both sites and the second copies of them that live."""
        return [*self.sites.values(), *self.clones]

    # --- records ------------------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Record what happened; the digest of all notes tells whether two runs were the same."""
        line = f"{self.now_ms - _START_MS} {what}"
        self._digest.update(line.encode())
        if self.keep_trace:
            self.trace.append(line)

    def fired(self, fault: str) -> None:
        """Count a fault that happened."""
        self.fault_count[fault] += 1
        self.note(f"fault {fault}")

    @property
    def digest(self) -> str:
        """Digest of everything noted so far and of what both sites hold."""
        for site in self.everyone:
            self._digest.update(site.connection.serialize())
        return self._digest.hexdigest()

    def close(self) -> None:
        """Give the databases back."""
        for site in self.everyone:
            site.close()

    # --- the start ----------------------------------------------------------------------------------------------------

    def pair(self, *, at_target: tuple[str, ...] = ("temp", "mood", "on"), devices: int = 3) -> None:
        """Start both sites, define resources and devices."""
        for site in (self.source, self.target):
            site.start()
        self.source.define(*RESOURCES)
        self.target.define(*(one for one in RESOURCES if one[0] in at_target))
        self.source.create_device(*DEVICES[:devices])

    def dial(self, *sides: Side) -> None:
        """Let sites open links."""
        for site in self.everyone:
            if site.side in (sides or Side):
                self.dial_one(site)

    def dial_one(self, site: SimSite) -> None:
        """Let one site open a link, if it has none and is not cut off."""
        if site.engine is None or site.link is not None or self.apart_until_ms.get(site.side, 0) > self.now_ms:
            return
        self._links_made += 1
        hub = self.meeting[0] if len(self.meeting) == 1 else self.chance.choice(self.meeting)
        site.dial(hub, self._links_made)

    def cut(self, link: Link) -> None:
        """End a link: the site sees it at once, the hub too. Some of what was sent to the hub may arrive before."""
        site, hub = link.site, link.hub
        if hub.links.get(link.side) is link and link.to_hub and self.chance.random() < 0.7:
            self.note("the last frames arrive")
            for _ in range(self.chance.randrange(len(link.to_hub)) + 1):
                hub.on_packet(link, link.to_hub.popleft())
        link.close()
        hub.on_closed(link)
        if site.link is link:
            site.link = None
            if site.engine is not None:
                site.on_link_lost()

    def cut_all(self) -> None:
        """End all links."""
        for site in self.everyone:
            if site.link is not None:
                self.cut(site.link)

    def make_deaf(self, link: Link, *, to_hub: bool = True, to_site: bool = True) -> None:
        """Let a link swallow everything, one way or both; its ends notice later."""
        link.swallow(to_hub=to_hub, to_site=to_site, noticed_ms=self.now_ms + _NOTICED_AFTER_MS)
        if link not in self._deaf:
            self._deaf.append(link)

    # --- time passes --------------------------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        """Links under way, each once, in a fixed order."""
        found = [site.link for site in self.everyone if site.link is not None]
        for hub in self.hubs:
            for side in _SIDES if hub.links else ():
                link = hub.links.get(side)
                if link is not None and link not in found:
                    found.append(link)
        return found

    @property
    def busy(self) -> bool:
        """Whether anything is under way that needs no clock."""
        return any(hub.pending for hub in self.hubs) or any(link.busy for link in self.links())

    def deliver_some(self) -> bool:
        """Move one batch of packets, or do one piece of disk work; return whether there was anything to do."""
        ways: list[tuple[Link | LyingHub, bool]] = []
        for link in self.links():
            if link.slow_until_ms <= self.now_ms or not self.weather.slow:
                if link.to_hub and link.hub_end:
                    ways.append((link, True))
                if link.to_site and link.site_end and link.site.busy_until_ms <= self.now_ms:
                    ways.append((link, False))
        ways += [(hub, True) for hub in self.hubs if hub.pending]
        if not ways:
            return False
        chosen, to_hub = self.chance.choice(ways) if len(ways) > 1 else ways[0]
        if isinstance(chosen, LyingHub):
            chosen.disk_turn()
        elif to_hub:
            for packet in self._next_packets(chosen, chosen.to_hub, 1):
                if chosen.hub_end:
                    chosen.hub.on_packet(chosen, packet)
        else:
            packets = self._next_packets(chosen, chosen.to_site, self.chance.choice((1, 1, 3, 8)))
            if packets:
                chosen.site.on_packets(chosen, packets)
        return True

    def _next_packets(self, link: Link, queue: deque[bytes], most: int) -> list[bytes]:
        packets: list[bytes] = []
        while queue and len(packets) < most:
            packets += self._next(link, queue)
        return packets

    def _next(self, link: Link, queue: deque[bytes]) -> list[bytes]:
        weather, roll = self.weather, self.chance.random
        if weather.fair:
            return [queue.popleft()]
        at = 0
        if weather.reorder and len(queue) > 1 and roll() < weather.reorder:
            at = self.chance.randrange(1, min(len(queue), 6))
            if any(is_opening(packet) for packet in list(queue)[: at + 1]):
                at = 0
            elif at:
                self.fired("frame_reordered")
        packet = queue[at]
        del queue[at]
        if is_opening(packet):
            return [packet]
        if weather.drop and roll() < weather.drop:
            self.fired("frame_dropped")
            return []
        if weather.corrupt and roll() < weather.corrupt:
            changed = corrupted(packet, self.chance.randrange(1 << 16))
            if changed is not None:
                self.fired("segment_corrupted")
                return [changed]
        if weather.repeat and roll() < weather.repeat:
            self.fired("frame_repeated")
            queue.append(packet)  # once more, later
            return [packet]
        if weather.slow and roll() < weather.slow:
            self.fired("frame_delayed")
            link.slow_until_ms = self.now_ms + self.chance.choice((100, 2_000, 15_000))
        return [packet]

    def next_due_ms(self) -> int | None:
        """When a clock goes off next."""
        times = [site.deadline_ms() for site in self.everyone]
        times += [hub.relay.next_deadline() for hub in self.hubs]
        times += [link.noticed_ms for link in self._deaf]
        times += [link.slow_until_ms for link in self.links() if link.slow_until_ms > self.now_ms]
        times += [site.busy_until_ms for site in self.everyone if site.busy_until_ms > self.now_ms]
        return min((time_ms for time_ms in times if time_ms is not None), default=None)

    def ring(self) -> None:
        """Let every clock that is due go off."""
        self._rings = self._rings + 1 if self._rung_ms == self.now_ms else 0
        self._rung_ms = self.now_ms
        if self._rings > _RINGS_MAX:
            raise Violation("a clock goes off for ever: what is due is not done")
        for link in [link for link in self._deaf if (link.noticed_ms or 0) <= self.now_ms]:
            self._deaf.remove(link)
            self.cut(link)
        for hub in self.hubs:
            due_ms = hub.relay.next_deadline()
            if due_ms is not None and due_ms <= self.now_ms:
                hub.on_deadline()
        for site in self.everyone:
            due_ms = site.deadline_ms()
            if due_ms is not None and due_ms <= self.now_ms:
                site.on_deadline()

    def sleep(self, ms: int) -> None:
        """Let time go by all at once: nobody was awake in between."""
        self.now_ms += ms
        self.ring()

    def pass_time(self, ms: int) -> None:
        """Let time go by, stopping at every clock and moving every frame on the way."""
        end_ms = self.now_ms + ms
        self.drain()
        while (due_ms := self.next_due_ms()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.ring()
            self.drain()
        self.now_ms = end_ms

    def drain(self, most: int = 20_000) -> None:
        """Move frames until none is under way."""
        for _ in range(most):
            if not self.deliver_some():
                return
        raise Violation("frames go on for ever")

    def reading(self, device: str, resource: str, at_ms: int, value: Value) -> bool:
        """Let the source accept one reading."""
        kind = dict(RESOURCES)[resource]
        return self.source.accept([(device, resource, kind, at_ms, value)])
