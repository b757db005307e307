"""What gives way at the cap, resource by resource, in some seeds (DESIGN G5)."""

from __future__ import annotations

from random import Random

from connector.streams import Streams
from shared.core.engine_effects import Effect
from shared.core.overflow import OVERFLOWS, Overflow
from tests.simulation.world import RESOURCES, World


def choose_overflows(world: World, seed: int) -> None:
    """Let resources of some seeds have a choice of their own of what gives way at the cap; chance of its own."""
    chance = Random(seed)
    engine = world.source.engine
    if engine is None or chance.random() < 0.5:
        return
    chosen = {alias: chance.choice(OVERFLOWS) for alias, _ in RESOURCES}

    def choose(store: Streams) -> list[Effect]:
        for alias, overflow in chosen.items():
            store.connection.execute("UPDATE resource SET overflow = ? WHERE alias = ?", (overflow, alias))
        engine.on_definitions_changed(store, None, world.source.now_ms)
        return []

    world.source.work("chooses what gives way", choose)


def may_refuse(world: World) -> bool:
    """Tell whether the source refuses new readings of any resource at the cap."""
    source = world.source
    return not Overflow(source.limits.refuse_when_full, source.store().own_overflows()).keeps_none
