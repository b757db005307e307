"""What goes wrong: each fault by its name, how it strikes, and when it has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shared.core.fields import NAME
from shared.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from shared.sealing import Side
from tests.simulation.everyday import Everyday
from tests.simulation.hub import PAIR_ID
from tests.simulation.lying_hub import LIES, LyingHub
from tests.simulation.overflows import may_refuse
from tests.simulation.quarantine_caps import spoiled_count
from tests.simulation.site import SimSite
from tests.simulation.world import DEVICES, World

RETENTION_MS: Final = 30 * DAY_MS
_YEAR_MS: Final = 365 * DAY_MS
# Chances per frame, by the name of the fault: which sort of `Weather`, and how often.
WEATHER: Final = {
    "frame_dropped": ("drop", 0.04),
    "frame_repeated": ("repeat", 0.08),
    "frame_reordered": ("reorder", 0.25),
    "frame_delayed": ("slow", 0.05),
    "segment_corrupted": ("corrupt", 0.04),
}
CLOCKS: Final = ("source_clock_jumps", "target_clock_jumps", "clock_drifts", "hub_tells_wrong_time")
# Lost frames take their credit with them until the link ends, so a tiny credit would run out.
CREDIT_IS_LOST: Final = frozenset({"frame_dropped", "segment_corrupted", *LIES})


class Faults:
    """Strikes the world with faults; what is counted in `world.fault_count` has happened."""

    def __init__(self, world: World, day: Everyday) -> None:
        self.world = world
        self._day = day
        self._backups: dict[str, bytes] = {}
        self._skews_ms = {side: world.sites[side].skew_ms for side in Side}

    def strike(self, fault: str) -> None:
        """Let a fault strike; some only lie in wait afterwards, and may need to be called more than once."""
        for site in self.world.everyone:
            if site.engine is None:
                site.start()
        if fault in LIES:
            self._lie(fault)
        else:
            _STRIKES[fault](self)

    def brew(self, fault: str, probability: float | None = None) -> None:
        """Let the network misbehave."""
        sort, usual = WEATHER[fault]
        setattr(self.world.weather, sort, probability or usual)

    def back_up(self, chosen: tuple[str, ...]) -> None:
        """Now and then keep a copy of a site's disk, where it is to be restored."""
        for who in ("source", "target"):
            if f"{who}_restored" in chosen and (who not in self._backups or self.world.chance.random() < 0.03):
                self._backups[who] = self._site(who).connection.serialize()

    def correct_clocks(self) -> None:
        """Set all clocks right, within what they were at the beginning, while daemons run that notice.

        A machine that was off cannot tell afterwards how much of the time it was.
        """
        for site in self.world.everyone:
            if site.engine is None:
                site.start()
            site.on_deadline()
            site.set_clock(skew_ms=self._skews_ms[site.side])
            site.on_deadline()

    def end_clones(self) -> None:
        """Let an operator end one of two copies; which of them goes on is chance."""
        for clone in self.world.clones:
            other = self.world.sites[clone.side]
            going, staying = (other, clone) if self.world.chance.random() < 0.5 else (clone, other)
            going.crash()
            going.close()
            self.world.sites[clone.side] = staying
        self.world.clones.clear()

    def _site(self, who: str) -> SimSite:
        return self.world.source if who == "source" else self.world.target

    def _a_hub(self) -> LyingHub:
        return self.world.chance.choice(self.world.meeting)

    # --- sites ----------------------------------------------------------------------------------------------------------

    def _arm(self, who: str, what: str) -> None:
        self._site(who).armed = what

    def _restore(self, who: str) -> None:
        site = self._site(who)
        if who not in self._backups:
            self._backups[who] = site.connection.serialize()
            return
        site.restore(self._backups[who])
        self.world.fired(f"{who}_restored")
        site.start()

    def _clone(self, who: str) -> None:
        """Start a second copy of a site on a copy of its disk; each displaces the other's link (G2)."""
        world = self.world
        if any(clone.side is self._site(who).side for clone in world.clones):
            return
        clone = self._site(who).clone()
        world.clones.append(clone)
        clone.start()
        world.dial_one(clone)
        world.fired(f"{who}_cloned")

    def _slow_down(self, who: str) -> None:
        """From here on it takes only a few frames at a time, and pauses: credit trickles (G8)."""
        for site in self.world.everyone:
            site.slow |= site.side is self._site(who).side
        self._day.accept_much()

    def _jump(self, who: str) -> None:
        site, chance = self._site(who), self.world.chance
        usual_ms = self._skews_ms[site.side]
        by_ms = chance.choice((-_YEAR_MS, -DAY_MS, -2 * HOUR_MS, 2 * HOUR_MS, DAY_MS, _YEAR_MS))
        site.on_deadline()
        site.set_clock(skew_ms=usual_ms if site.skew_ms != usual_ms and chance.random() < 0.5 else usual_ms + by_ms)
        self.world.fired(f"{who}_clock_jumps")
        self._day.accept()

    def _drift(self) -> None:
        for site in self.world.everyone:
            skew_ms = site.now_ms - self.world.now_ms
            site.set_clock(skew_ms=skew_ms, drift_ppm=self.world.chance.choice((-5_000, -200, 300, 5_000)))
        self.world.sleep(self.world.chance.choice((MINUTE_MS, HOUR_MS, DAY_MS)))
        self.world.fired("clock_drifts")

    # --- hubs -----------------------------------------------------------------------------------------------------------

    def _part_target(self) -> None:
        """Let something be stored at the hub: the target is away."""
        world = self.world
        world.dial(Side.SOURCE)
        if world.target.link is not None:
            world.cut(world.target.link)
        self._day.accept()
        world.source.edit((world.source.fields(DEVICES[0]), NAME, f'"{world.chance.random()}"'))
        world.pass_time(2 * SECOND_MS)

    def _hub_dies(self, when: str) -> None:
        for hub in self.world.meeting:
            hub.crash_armed = when
        self._part_target()

    def _fill_hub_disk(self) -> None:
        for hub in self.world.meeting:
            hub.disk_fails = 2
        self._part_target()

    def _lose_hub_disk(self) -> None:
        self._a_hub().lose_disk()
        self.world.fired("hub_disk_lost")

    def _drop_copies(self) -> None:
        self._part_target()
        if self._a_hub().drop_some_copies():
            self.world.fired("hub_copies_dropped")

    def _second_hub(self) -> None:
        """Let links move between two hubs that do not know each other's copies."""
        world = self.world
        self._part_target()
        world.meeting = world.hubs
        link = world.source.link
        copies = 0 if link is None else sum(map(len, link.hub.copies.held(PAIR_ID).values()))
        world.cut_all()
        world.dial()
        if link is not None and copies and any(other.hub is not link.hub for other in world.links()):
            world.fired("two_hubs")

    def _lie(self, sort: str) -> None:
        world = self.world
        world.lied = True
        self._day.let_flow()
        if sort == "hub_shows_old_state":
            self._part_target()
        for hub in world.meeting:
            hub.lie(sort)
        if sort == "hub_tells_wrong_time":
            world.cut_all()
        world.dial()
        for _ in range(3 if sort == "hub_reorders" else 1):
            self._day.accept()
            world.source.edit((world.source.fields(DEVICES[0]), NAME, f'"{world.chance.random()}"'))

    # --- links ----------------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        for link in self.world.links():
            self.world.cut(link)
            self.world.fired("link_cut")

    def _half_open(self) -> None:
        for link in self.world.links()[:1]:
            self.world.make_deaf(link)
            self.world.fired("link_half_open")

    def _one_way(self) -> None:
        chance = self.world.chance
        for link in self.world.links()[:1]:
            to_hub = chance.random() < 0.5
            self.world.make_deaf(link, to_hub=to_hub, to_site=not to_hub)
            self.world.fired("link_one_way")

    def _partition(self) -> None:
        """Cut one side or both off from every hub for a while; some links break only when silence is noticed."""
        world, chance = self.world, self.world.chance
        until_ms = world.now_ms + chance.choice((10 * SECOND_MS, 10 * MINUTE_MS, 3 * HOUR_MS, 2 * DAY_MS))
        for side in chance.choice(((Side.SOURCE,), (Side.TARGET,), tuple(Side))):
            world.apart_until_ms[side] = until_ms
            for link in [link for link in world.links() if link.side is side]:
                if chance.random() < 0.5:
                    world.make_deaf(link)
                else:
                    world.cut(link)
        world.fired("partition")
        self._day.accept()

    # --- limits ---------------------------------------------------------------------------------------------------------

    def _spoil(self) -> None:
        world = self.world
        world.source.keys.spoil = spoiled_count(world)
        self._day.let_flow()
        for _ in range(40):  # until one of them is of a resource that flows just now
            self._day.accept()
            world.pass_time(SECOND_MS)
            if world.source.keys.spoiled:
                break
        if world.source.keys.spoiled:
            world.fired("segment_undecodable")

    def _expire(self) -> None:
        world, before = self.world, self._dropped()
        self._dispel_doubt()
        world.cut_all()
        self._day.accept()
        self._day.accept()
        # Some copies may wait at the hub: what crosses the notice is the destination's to decide.
        if world.chance.random() < 0.5:
            world.dial(Side.SOURCE)
            world.pass_time(2 * SECOND_MS)
            world.cut_all()
        self._day.accept()
        world.now_ms += RETENTION_MS - world.chance.choice((0, 1, HOUR_MS, 2 * DAY_MS))
        world.ring()
        world.dial(Side.TARGET)
        for _ in range(world.chance.choice((0, 5, 30))):
            world.deliver_some()
        world.now_ms += 2 * DAY_MS
        for _ in range(100):
            world.ring()
            if self._dropped() > before:
                world.fired("expired")
                break
            world.now_ms += 25

    def _dispel_doubt(self) -> None:
        """Let everybody know the right time, so that something may expire (G5)."""
        world = self.world
        if not world.clocks_are_off:
            return
        self.correct_clocks()
        for hub in world.hubs:
            hub.be_punctual()
        world.apart_until_ms.clear()
        world.cut_all()
        world.dial()
        world.pass_time(2 * MINUTE_MS)

    def _fill(self) -> None:
        world, before = self.world, self._dropped()
        accepted = world.source.accepted_count
        self._day.let_flow()
        world.cut_all()
        for _ in range(10):
            self._day.accept_much()
            if self._dropped() > before:
                break
        if self._dropped() > before or (may_refuse(world) and world.source.accepted_count > accepted):
            world.fired("byte_cap")

    def _dropped(self) -> int:
        return self.world.source.store().ledger().dropped_total


_STRIKES: Final[dict[str, Callable[[Faults], None]]] = {
    "source_crash_before": lambda faults: faults._arm("source", "before"),
    "source_crash_after": lambda faults: faults._arm("source", "after"),
    "source_disk_full": lambda faults: faults._arm("source", "undone"),
    "target_crash_before": lambda faults: faults._arm("target", "before"),
    "target_crash_after": lambda faults: faults._arm("target", "after"),
    "target_disk_full": lambda faults: faults._arm("target", "undone"),
    "source_restored": lambda faults: faults._restore("source"),
    "target_restored": lambda faults: faults._restore("target"),
    "source_cloned": lambda faults: faults._clone("source"),
    "target_cloned": lambda faults: faults._clone("target"),
    "source_slow": lambda faults: faults._slow_down("source"),
    "target_slow": lambda faults: faults._slow_down("target"),
    "source_clock_jumps": lambda faults: faults._jump("source"),
    "target_clock_jumps": lambda faults: faults._jump("target"),
    "clock_drifts": Faults._drift,
    "hub_crash_before": lambda faults: faults._hub_dies("before"),
    "hub_crash_after": lambda faults: faults._hub_dies("after"),
    "hub_disk_full": Faults._fill_hub_disk,
    "hub_disk_lost": Faults._lose_hub_disk,
    "hub_copies_dropped": Faults._drop_copies,
    "two_hubs": Faults._second_hub,
    "link_cut": Faults._cut,
    "link_half_open": Faults._half_open,
    "link_one_way": Faults._one_way,
    "partition": Faults._partition,
    "segment_undecodable": Faults._spoil,
    "expired": Faults._expire,
    "byte_cap": Faults._fill,
}
FAULTS: Final = (*WEATHER, *_STRIKES, *LIES)
