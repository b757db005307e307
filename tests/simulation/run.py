"""One seed, from the start to the verdict."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from shared.batches import Value
from shared.core.fields import DESCRIPTION, LOCKED, NAME, Grant, Subject, grant_field, json_text, tag_field
from shared.core.outbox import OutboxLimits
from shared.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tests.simulation.demands import check, settle
from tests.simulation.site import SimSite
from tests.simulation.world import DEVICES, MORTAL, RESOURCES, TIGHT, TIGHT_CREDIT, Weather, World, bounds

RETENTION_MS: Final = 30 * DAY_MS
_WEATHER: Final = {
    "frame_dropped": ("drop", 0.04),
    "frame_repeated": ("repeat", 0.08),
    "frame_reordered": ("reorder", 0.25),
    "frame_delayed": ("slow", 0.05),
    "segment_corrupted": ("corrupt", 0.04),
}
FAULTS: Final = (
    *_WEATHER,
    "source_crash_before",
    "source_crash_after",
    "source_disk_full",
    "target_crash_before",
    "target_crash_after",
    "target_disk_full",
    "hub_crash_before",
    "hub_crash_after",
    "hub_disk_full",
    "hub_disk_lost",
    "hub_copies_dropped",
    "link_cut",
    "link_half_open",
    "source_restored",
    "target_restored",
    "segment_undecodable",
    "expired",
    "byte_cap",
)


@dataclass(slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    chosen: tuple[str, ...] = ()
    fired: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    trace: list[str] = field(default_factory=list)


class Run:
    """The story of one seed: trouble, healing, verdict."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.outcome = Outcome(seed)
        self._keep_trace = keep_trace
        self._seed = seed

    def run(self) -> Outcome:
        """Run it all; whatever is raised is a violation too."""
        with ExitStack() as stack:
            self._prepare(stack)
            world = self.world
            try:
                self._trouble()
                self._heal()
                self.outcome.violations += check(world)
                self._check_fired()
            except Exception as error:  # noqa: BLE001  # the very thing that is looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.outcome.violations.append(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})")
                if self._keep_trace:
                    world.note(traceback.format_exc())
            self.outcome.fired = world.fault_count
            self.outcome.digest = world.digest
            self.outcome.trace = list(world.trace)
        return self.outcome

    # --- choices ------------------------------------------------------------------------------------------------------

    def _prepare(self, stack: ExitStack) -> None:
        world = World(self._seed)
        self.world = world
        world.keep_trace = self._keep_trace
        chance = world.chance
        self.outcome.chosen = tuple(sorted(chance.sample(FAULTS, chance.choice((0, 1, 2, 3, 4, 6)))))
        chosen = self.outcome.chosen
        skews = [chance.choice((0, 0, -90_000, 45_000)) for _ in range(2)]
        for site, skew_ms in zip((world.source, world.target), skews, strict=True):
            site.skew_ms = skew_ms
        refuse = chance.random() < 0.3
        bytes_max = 1_500 if "byte_cap" in chosen else 1 << 30
        world.source.limits = OutboxLimits(RETENTION_MS, bytes_max, refuse)
        tables = [TIGHT] if chance.random() < 0.6 else []
        # Lost frames take their credit with them until the link ends, so a tiny credit would run out.
        if not {"frame_dropped", "segment_corrupted"} & set(chosen) and chance.random() < 0.3:
            tables.append(TIGHT_CREDIT)
        stack.enter_context(bounds(*tables))
        self._backups: dict[str, bytes] = {}
        self._last_at_ms = world.now_ms
        self._todo = [fault for fault in chosen if fault not in _WEATHER]
        chance.shuffle(self._todo)

    # --- trouble ------------------------------------------------------------------------------------------------------

    def _trouble(self) -> None:
        world, chance = self.world, self.world.chance
        at_target = tuple(alias for alias, _ in RESOURCES if chance.random() < 0.8)
        world.pair(at_target=at_target, devices=chance.randrange(1, 4))
        for name, (sort, probability) in _WEATHER.items():
            if name in self.outcome.chosen:
                setattr(world.weather, sort, probability)
        world.dial()
        steps = chance.choice((20, 40, 80))
        due = {chance.randrange(steps): fault for fault in self._todo}
        late = [fault for fault in self._todo if fault not in due.values()]
        for step in range(steps):
            if step in due:
                self._strike(due[step])
            self._step()
        for fault in late:
            self._strike(fault)
            self._step()
        for _ in range(60):
            missing = [fault for fault in self.outcome.chosen if not world.fault_count[fault]]
            if not missing:
                break
            for fault in missing:
                if fault in _WEATHER:  # few packets went, and luck spared them
                    setattr(world.weather, _WEATHER[fault][0], 0.5)
                else:
                    self._strike(fault)
            world.dial()
            self._accept()
            self._step()
            world.pass_time(3 * SECOND_MS)

    def _step(self) -> None:
        world, chance = self.world, self.world.chance
        chance.choices(
            (
                self._accept,
                self._accept_much,
                self._edit,
                self._add_device,
                self._delete_device,
                self._define,
                self._links,
                self._wait,
                self._back_up,
            ),
            (40, 6, 12, 4, 4, 5, 16, 14, 5),
        )[0]()
        for site in (world.source, world.target):
            if site.engine is None and chance.random() < 0.5:
                site.start()
            if site.link is None and chance.random() < 0.3:
                world.dial(site.side)
        for _ in range(chance.choice((0, 1, 3, 10, 40))):
            if not world.deliver_some():
                break
        world.now_ms += chance.choice((0, 0, 1, 7, 60, 400))
        world.ring()

    def _value(self, alias: str) -> Value:
        chance = self.world.chance
        if alias == "temp":
            return chance.choice((round(chance.uniform(-40, 120), 2), chance.random() * 1e9, -0.0, 7.0))
        if alias == "on":
            return chance.random() < 0.5
        return chance.choice(("", "calm", "stürmisch", "x" * chance.randrange(300)))

    def _accept(self, most: int = 6) -> None:
        world, chance = self.world, self.world.chance
        readings = []
        for _ in range(chance.randrange(1, most)):
            alias, kind = chance.choice(RESOURCES)
            roll = chance.random()
            if roll < 0.05:
                at_ms = self._last_at_ms  # a time that was there already, perhaps in another series
            elif roll < 0.1:
                at_ms = world.now_ms - chance.randrange(1, 40) * DAY_MS - chance.randrange(DAY_MS)
            else:
                self._last_at_ms = at_ms = max(self._last_at_ms + 1, world.now_ms)
            readings.append((chance.choice(DEVICES), alias, kind, at_ms, self._value(alias)))
        world.source.accept(readings)

    def _accept_much(self) -> None:
        self._accept(60)

    def _edit(self) -> None:
        world, chance = self.world, self.world.chance
        site = chance.choice((world.source, world.target))
        identity = chance.choice(DEVICES)
        if not site.rows(f"SELECT 1 FROM device WHERE identity = '{identity}'"):
            return
        edits: list[tuple[str, str, str | None]] = []
        for _ in range(chance.randrange(1, 4)):
            roll = chance.random()
            if roll < 0.3:
                edits.append((site.fields(identity), chance.choice((NAME, DESCRIPTION)), f'"{chance.random()}"'))
            elif roll < 0.4:
                edits.append((site.fields(identity), LOCKED, chance.choice(("true", "false"))))
            elif roll < 0.5:
                level = chance.choice((Grant("read"), Grant("write", world.now_ms), None))
                grant = json_text(level) if level is not None else None
                edits.append((site.fields(identity), grant_field(Subject("user", "ann", "a site")), grant))
            else:
                field = tag_field(chance.choice("ab"), chance.choice("xyz"))
                edits.append((site.fields(identity), field, chance.choice(("true", "true", None))))
        site.edit(*edits)

    def _add_device(self) -> None:
        world, chance = self.world, self.world.chance
        chance.choice((world.source, world.source, world.target)).create_device(chance.choice(DEVICES))

    def _delete_device(self) -> None:
        """Delete the one device that may go, or make it again: what is asked of readings of the others stays exact."""
        world = self.world
        site = world.chance.choice((world.source, world.target))
        if not site.delete_device(MORTAL):
            site.create_device(MORTAL)

    def _define(self) -> None:
        world, chance = self.world, self.world.chance
        alias, kind = chance.choice(RESOURCES)
        if chance.random() < 0.4:
            world.source.define(alias, kind, sync=chance.random() < 0.7)
        elif chance.random() < 0.5:
            world.target.define(alias, kind, unit=chance.choice(("", "", "K")))
        else:
            world.target.define(alias, chance.choice((kind, "string")))

    def _links(self) -> None:
        world, chance = self.world, self.world.chance
        site = chance.choice((world.source, world.target))
        if site.link is None:
            world.dial(site.side)
        elif chance.random() < 0.3:
            world.cut(site.link)

    def _wait(self) -> None:
        world, chance = self.world, self.world.chance
        if chance.random() < 0.7:
            world.pass_time(chance.choice((100, SECOND_MS, 4 * SECOND_MS, 12 * SECOND_MS)))
        else:
            world.sleep(chance.choice((MINUTE_MS, 10 * MINUTE_MS, 2 * HOUR_MS, DAY_MS)))

    def _back_up(self) -> None:
        for name in ("source", "target"):
            if f"{name}_restored" in self.outcome.chosen and (
                name not in self._backups or self.world.chance.random() < 0.2
            ):
                self._backups[name] = self._site(name).connection.serialize()

    # --- faults -------------------------------------------------------------------------------------------------------

    def _site(self, name: str) -> SimSite:
        return self.world.source if name == "source" else self.world.target

    def _strike(self, fault: str) -> None:
        who, _, what = fault.partition("_")
        for site in (self.world.source, self.world.target):
            if site.engine is None:
                site.start()
        if what in ("crash_before", "crash_after") and who != "hub":
            self._site(who).armed = what.removeprefix("crash_")
        elif what == "disk_full" and who != "hub":
            self._site(who).armed = "undone"
        elif what == "restored":
            self._restore(who)
        else:
            strike: dict[str, Callable[[], None]] = {
                "hub_crash_before": lambda: setattr(self.world.hub, "crash_armed", "before"),
                "hub_crash_after": lambda: setattr(self.world.hub, "crash_armed", "after"),
                "hub_disk_full": lambda: setattr(self.world.hub, "disk_fails", 2),
                "hub_disk_lost": self._lose_hub_disk,
                "hub_copies_dropped": self._drop_copies,
                "link_cut": self._cut,
                "link_half_open": self._half_open,
                "segment_undecodable": self._spoil,
                "expired": self._expire,
                "byte_cap": self._fill,
            }
            strike[fault]()
        if fault in ("hub_crash_before", "hub_crash_after", "hub_disk_full"):
            self._part_target()

    def _part_target(self) -> None:
        """Let something be stored at the hub: the target is away."""
        world = self.world
        world.dial(world.source.side)
        if world.target.link is not None:
            world.cut(world.target.link)
        self._accept()
        world.source.edit((world.source.fields(DEVICES[0]), NAME, f'"{world.chance.random()}"'))
        world.pass_time(2 * SECOND_MS)

    def _restore(self, who: str) -> None:
        site = self._site(who)
        if who not in self._backups:
            self._backups[who] = site.connection.serialize()
            return
        site.restore(self._backups[who])
        self.world.fired(f"{who}_restored")
        site.start()

    def _lose_hub_disk(self) -> None:
        self.world.hub.lose_disk()
        self.world.fired("hub_disk_lost")

    def _drop_copies(self) -> None:
        self._part_target()
        if self.world.hub.drop_some_copies():
            self.world.fired("hub_copies_dropped")

    def _cut(self) -> None:
        for link in self.world.links():
            self.world.cut(link)
            self.world.fired("link_cut")

    def _half_open(self) -> None:
        for link in self.world.links()[:1]:
            self.world.half_open(link)
            self.world.fired("link_half_open")

    def _spoil(self) -> None:
        self.world.source.keys.spoil = 1
        self._let_flow()
        for _ in range(40):  # until one of them is of a resource that flows just now
            self._accept()
            self.world.pass_time(SECOND_MS)
            if self.world.source.keys.spoiled:
                break
        if self.world.source.keys.spoiled:
            self.world.fired("segment_undecodable")

    def _expire(self) -> None:
        world, before = self.world, self._dropped()
        world.cut_all()
        self._accept()
        self._accept()
        # Some copies may wait at the hub: what crosses the notice is the destination's to decide.
        if world.chance.random() < 0.5:
            world.dial(world.source.side)
            world.pass_time(2 * SECOND_MS)
            world.cut_all()
        self._accept()
        world.now_ms += RETENTION_MS - world.chance.choice((0, 1, HOUR_MS, 2 * DAY_MS))
        world.ring()
        world.dial(world.target.side)
        for _ in range(world.chance.choice((0, 5, 30))):
            world.deliver_some()
        world.now_ms += 2 * DAY_MS
        for _ in range(100):
            world.ring()
            world.now_ms += 25
        if self._dropped() > before:
            world.fired("expired")

    def _fill(self) -> None:
        world, before = self.world, self._dropped()
        accepted = len(world.source.accepted)
        self._let_flow()
        world.cut_all()
        for _ in range(10):
            self._accept_much()
        if self._dropped() > before or (world.source.limits.refuse_when_full and len(world.source.accepted) > accepted):
            world.fired("byte_cap")

    def _let_flow(self) -> None:
        """Remove whatever stands in the way of readings."""
        for alias, kind in RESOURCES:
            for site in (self.world.source, self.world.target):
                site.define(alias, kind)
        self.world.source.create_device(DEVICES[0])
        self.world.dial()

    def _dropped(self) -> int:
        return self.world.source.store().ledger().dropped_total

    # --- healing ------------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        world = self.world
        world.weather = Weather()
        world.hub.disk_fails, world.hub.crash_armed = 0, None
        world.source.keys.spoil = 0
        for site in (world.source, world.target):
            site.armed = None
            if site.engine is None:
                site.start()
        for alias, kind in RESOURCES:
            for site in (world.source, world.target):
                site.define(alias, kind)
        for identity in DEVICES:
            for site in (world.source, world.target):  # where it was deleted at one of them: in a new generation
                site.create_device(identity)
        world.pass_time(MINUTE_MS)  # half-open links are noticed
        world.dial()
        # First on the links as they are: what was lost on them has to be found and asked for again.
        settle(world, minutes=90, exact=False)
        world.cut_all()
        world.dial()
        settle(world)

    def _check_fired(self) -> None:
        for fault in self.outcome.chosen:
            if not self.outcome.violations and not self.world.fault_count[fault]:
                self.outcome.violations.append(f"the fault {fault} was chosen and never happened")


def run_seed(seed: int, *, keep_trace: bool = False) -> Outcome:
    """Run one seed."""
    return Run(seed, keep_trace=keep_trace).run()
