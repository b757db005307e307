"""One seed, from the start to the verdict; and many of them."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from shared.core.outbox import OutboxLimits
from shared.limits import MINUTE_MS, QUARANTINE_TRY_EVERY_MS, SECOND_MS
from tests.simulation.demands import check, settle
from tests.simulation.everyday import Everyday
from tests.simulation.faults import CLOCKS, CREDIT_IS_LOST, FAULTS, RETENTION_MS, WEATHER, Faults
from tests.simulation.overflows import choose_overflows
from tests.simulation.quarantine_caps import choose_cap
from tests.simulation.replays import Replays
from tests.simulation.world import DEVICES, RESOURCES, TIGHT, TIGHT_CREDIT, Weather, World, bounds

_SEEDS_AT_ONCE: Final = 8  # given to a process
_COLLECT_AFTER_OBJECTS: Final = 50_000


@dataclass(slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    chosen: tuple[str, ...] = ()
    fired: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    trace: list[str] = field(default_factory=list)

    @property
    def replay(self) -> str:
        """The command that repeats it."""
        return f"python -m tests.simulation --seeds {self.seed}:{self.seed + 1} --trace"

    def __str__(self) -> str:
        said = "".join(f"\n  {violation[:600]}" for violation in self.violations[:5])
        return f"seed {self.seed}, faults {', '.join(self.chosen) or 'none'}:{said}\n  replay: {self.replay}"


class Run:
    """The story of one seed: trouble, healing, verdict."""

    def __init__(self, seed: int, *, keep_trace: bool = False, with_digest: bool = False) -> None:
        self.outcome = Outcome(seed)
        self._keep_trace = keep_trace
        self._with_digest = with_digest
        self._seed = seed

    def run(self) -> Outcome:
        """Run it all; whatever is raised is a violation too."""
        with ExitStack() as stack:
            self._prepare(stack)
            world = self.world
            try:
                self._trouble()
                self._heal()
                self.outcome.violations += check(world) or self._replay()
                self._check_fired()
            except Exception as error:  # noqa: BLE001  # the very thing that is looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.outcome.violations.append(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})")
                if self._keep_trace:
                    world.note(traceback.format_exc())
            self.outcome.fired = world.fault_count
            self.outcome.digest = world.digest if self._with_digest else ""
            self.outcome.trace = list(world.trace)
            world.close()
        return self.outcome

    # --- choices ------------------------------------------------------------------------------------------------------

    def _prepare(self, stack: ExitStack) -> None:
        world = World(self._seed)
        self.world = world
        world.keep_trace = self._keep_trace
        chance = world.chance
        chosen = faults_of(self._seed)
        self.outcome.chosen = chosen
        world.clocks_are_off = not set(CLOCKS).isdisjoint(chosen)
        for site in world.everyone:
            site.skew_ms = chance.choice((0, 0, -90_000, 45_000))
        refuse = chance.random() < 0.3
        bytes_max = 1_500 if "byte_cap" in chosen else 1 << 30
        world.source.limits = OutboxLimits(RETENTION_MS, bytes_max, refuse)
        choose_cap(world, self._seed)
        tables = [TIGHT] if chance.random() < 0.6 else []
        if CREDIT_IS_LOST.isdisjoint(chosen) and chance.random() < (0.8 if "target_slow" in chosen else 0.3):
            tables.append(TIGHT_CREDIT)
        stack.enter_context(bounds(*tables))
        self.day = Everyday(world)
        self.faults = Faults(world, self.day)
        self.replays = Replays(world, self._seed)

    # --- trouble ------------------------------------------------------------------------------------------------------

    def _trouble(self) -> None:
        world, chance, chosen = self.world, self.world.chance, self.outcome.chosen
        at_target = tuple(alias for alias, _ in RESOURCES if chance.random() < 0.8)
        world.pair(at_target=at_target, devices=chance.randrange(1, 4))
        choose_overflows(world, self._seed)
        for fault in chosen:
            if fault in WEATHER:
                self.faults.brew(fault)
        world.dial()
        steps = chance.choice((6, 12, 24))
        due: dict[int, list[str]] = {}
        for fault in chosen:
            if fault not in WEATHER:
                due.setdefault(chance.randrange(steps), []).append(fault)
        for step in range(steps):
            for fault in due.get(step, ()):
                self.faults.strike(fault)
            self.day.step()
            self.replays.step()
            self.faults.back_up(chosen)
        self._insist()

    def _insist(self) -> None:
        """Strike again with what found nothing to happen to."""
        world = self.world
        for turn in range(60):
            missing = [fault for fault in self.outcome.chosen if not world.fault_count[fault]]
            if not missing:
                break
            world.apart_until_ms.clear()
            world.weather = Weather()  # what has happened need not stand in the way of the rest
            if turn >= 30:  # a crawl of four segments at a time, or a hub that sits on all of them
                for hub in world.hubs:
                    hub.be_honest()
                for site in world.everyone:
                    site.slow = False
            if not any(fault.endswith("_cloned") for fault in missing):
                self.faults.end_clones()
            for fault in missing:
                if fault in WEATHER:  # few packets went, and luck spared them
                    self.faults.brew(fault, 0.5)
                else:
                    self.faults.strike(fault)
            self.day.meet()
            self.day.accept()
            self.day.step()
            world.pass_time(3 * SECOND_MS)

    # --- healing ------------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        world, chance = self.world, self.world.chance
        world.weather = Weather()
        world.apart_until_ms.clear()
        for hub in world.hubs:
            hub.disk_fails, hub.crash_armed = 0, None
            hub.be_honest()
        world.source.keys.spoil = 0
        self.faults.end_clones()
        if chance.random() < 0.5:
            self.faults.correct_clocks()
        for site in world.everyone:
            site.armed, site.slow = None, False
            if site.engine is None:
                site.start()
        self._provide()
        world.pass_time(MINUTE_MS)  # deaf links are noticed
        self._meet()

    def _provide(self) -> None:
        """Let there be all resources at both, and all devices; what was deleted comes in a new generation."""
        for site in self.world.everyone:
            site.define(*RESOURCES)
        self.world.chance.choice(self.world.everyone).create_device(*DEVICES)

    def _meet(self) -> None:
        """Bring both sides together, at each hub by turns, and wait until all is quiet."""
        world = self.world
        used = list(world.meeting)
        world.chance.shuffle(used)
        world.meeting = used[:1]
        if len(used) > 1:
            world.cut_all()
        world.dial()
        # First on the links as they are: what was lost on them has to be found and asked for again.
        settle(world, minutes=90, exact=False)
        self._provide()  # what one of them deleted before the two were of one mind
        for hub in (*used[1:], used[0]):  # the first of two once more: what it kept at its links' end
            world.meeting = [hub]
            world.cut_all()
            world.dial()
            settle(world)
        world.meeting = used

    def _replay(self) -> list[str]:
        if not self.replays.any:
            return []
        self.faults.correct_clocks()  # readings of somebody else's next year would go into quarantine
        ledger = None
        while ledger != (ledger := self.world.source.store().ledger()) and ledger.quarantined:
            self.world.sleep(QUARANTINE_TRY_EVERY_MS + MINUTE_MS)  # what was set aside for its time is tried again
            settle(self.world)
        return self.replays.last()

    def _check_fired(self) -> None:
        for fault in self.outcome.chosen:
            if not self.outcome.violations and not self.world.fault_count[fault]:
                self.outcome.violations.append(f"the fault {fault} was chosen and never happened")


def faults_of(seed: int) -> tuple[str, ...]:
    """Return the faults that a seed chooses."""
    chance = Random(f"faults of {seed}")
    return tuple(sorted(chance.sample(FAULTS, chance.choice((0, 1, 2, 3, 3, 4, 6)))))


def run_seed(seed: int, *, keep_trace: bool = False, with_digest: bool = False) -> Outcome:
    """Run one seed. The digest of all that happened and of both databases costs as much as a fifth of a short run."""
    return Run(seed, keep_trace=keep_trace, with_digest=with_digest).run()


def _spare_the_collector() -> None:
    """Let the collector of cycles look less often, and not at what was imported: it took an eighth of a campaign."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)


def run_seeds(seeds: Iterable[int], *, processes: int = 1, keep_trace: bool = False) -> Iterator[Outcome]:
    """Run seeds, in so many processes, and yield what came of each, in no order that matters."""
    if processes < 2:
        yield from (run_seed(seed, keep_trace=keep_trace) for seed in seeds)
        return
    with ProcessPoolExecutor(processes, initializer=_spare_the_collector) as pool:
        yield from pool.map(partial(run_seed, keep_trace=keep_trace), seeds, chunksize=_SEEDS_AT_ONCE)


def failures(seeds: Iterable[int]) -> list[Outcome]:
    """Return the outcomes of those seeds that failed."""
    return [outcome for outcome in run_seeds(seeds) if outcome.violations]
