"""Replays in the simulation (N9): some seeds ask for past ranges again, through all their trouble, and once it is over.

They have a source of chance of their own, so that seeds without replays stay what they were.
"""

from __future__ import annotations

from random import Random
from typing import Final

from connector.replay_rows import list_replays
from connector.streams import Streams
from shared.core.engine_effects import Effect
from shared.core.replay_job import ReplayState
from shared.limits import DAY_MS, HOUR_MS, REPLAY_RANGE_MS_MAX, REPLAY_SEGMENTS_MAX
from tests.simulation.demands import settle
from tests.simulation.network import Violation
from tests.simulation.shell import CONNECTOR
from tests.simulation.site import SimSite
from tests.simulation.world import RESOURCES, World

_SEEDS: Final = 0.25  # of all
_STEPS: Final = 0.2  # of a seed that has any


class Replays:
    """What one seed asks for again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = Random(f"replays of {seed}")
        self.any = self._chance.random() < _SEEDS

    def step(self) -> None:
        """Ask for something now and then, or cancel it."""
        if not self.any or self._chance.random() >= _STEPS:
            return
        site = self._chance.choice((self._world.source, self._world.target))
        if self._chance.random() < 0.15:
            self._cancel(site)
            return
        to_ms = self._world.now_ms - self._chance.choice((0, 0, HOUR_MS, 3 * DAY_MS))
        from_ms = max(0, to_ms - self._chance.choice((HOUR_MS, DAY_MS, 60 * DAY_MS)))
        aliases = self._chance.sample([alias for alias, _ in RESOURCES], self._chance.choice((0, 1, 2)))
        if _ask(site, from_ms, to_ms, aliases) is not None:
            self._world.replayed = True
        kept = len(self._world.source.rows("SELECT 1 FROM replay_segment"))
        if kept > REPLAY_SEGMENTS_MAX:
            raise Violation(f"{kept} segments of replays are under way")

    def _cancel(self, site: SimSite) -> None:
        engine = site.engine
        jobs = list_replays(site.connection, CONNECTOR, open_only=True)
        if engine is None or not jobs:
            return

        def cancel(store: Streams) -> list[Effect]:
            engine.replays.cancel(store, jobs[0].ask.job_id, who="bo", now_ms=site.now_ms)
            return []

        site.work("cancels a replay", cancel)

    def last(self) -> list[str]:
        """Ask for everything once all is healed, and say what does not hold then. The world goes on in here."""
        world = self._world
        if not self.any:
            return []
        source, target = world.source, world.target
        before, ledger = target.readings(), source.store().ledger()
        middle_ms, half_ms = world.now_ms, REPLAY_RANGE_MS_MAX // 2
        job_id = _ask(source, middle_ms - half_ms, middle_ms + half_ms, ())
        if job_id is None:
            return ["a replay was refused although all is well"]
        settle(world)
        found = []
        after = target.readings()
        changed = [key for key, value in before.items() if after.get(key) != value]
        if changed:
            found.append(f"a replay changed {len(changed)} readings that were there, such as {changed[0]}")
        missing = source.readings().keys() - after.keys()
        if missing:
            found.append(f"{len(missing)} readings are missing after a replay of everything, such as {min(missing)}")
        if source.store().ledger() != ledger:
            found.append(f"a replay moved the account from {ledger} to {source.store().ledger()}")
        for site in (source, target):
            job = next(each for each in list_replays(site.connection, CONNECTOR) if each.ask.job_id == job_id)
            made = job.figures
            if job.state is not ReplayState.DONE or made.arrived != job.sent_count:
                found.append(f"the {site.side.word} has a replay of everything that ended as {job}")
            if made.arrived != made.added + made.present + made.unplaced or made.added != len(after) - len(before):
                found.append(f"the {site.side.word} counts a replay wrongly: {made}, {len(before)} to {len(after)}")
        return found


def _ask(site: SimSite, from_ms: int, to_ms: int, aliases: tuple[str, ...] | list[str]) -> str | None:
    engine = site.engine
    if engine is None:
        return None
    made: list[str] = []

    def ask(store: Streams) -> list[Effect]:
        job = engine.replays.ask(
            store, from_ms=from_ms, to_ms=to_ms, resources=aliases, devices=(), who="ann", now_ms=site.now_ms
        )
        made.append(job.ask.job_id)
        return []

    return made[0] if site.work("asks for a replay", ask) and made else None
