"""What stories in the fake world say again and again."""

from __future__ import annotations

from tests.simulation.demands import check, settle
from tests.simulation.site import SimSite
from tests.simulation.world import World


def healed(world: World) -> None:
    """Link whoever is not, wait until all is quiet, demand everything."""
    for site in world.sites.values():
        if site.engine is None:
            site.start()
    world.dial()
    settle(world)
    assert check(world) == []


def take(world: World, count: int, *, device: str = "d0", every_ms: int = 10) -> None:
    """Let the source accept so many readings, each by itself."""
    for _ in range(count):
        world.now_ms += every_ms
        assert world.reading(device, "temp", world.now_ms, float(world.now_ms % 1_000))


def part(world: World, site: SimSite) -> None:
    assert site.link is not None
    world.cut(site.link)


def at_target(world: World) -> int:
    return len(world.target.readings())
