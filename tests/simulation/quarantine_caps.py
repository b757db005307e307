"""A target with little room for what nobody can read, in some seeds, and the person who makes room in the end (G7)."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from connector.streams import Streams
from shared.core.engine_effects import Effect
from shared.core.ports import SEGMENT_KIND
from shared.limits import QUARANTINE_ROW_BYTES
from tests.simulation.network import Violation

if TYPE_CHECKING:
    from tests.simulation.shell import Shell
    from tests.simulation.world import World

# Room for two segments, of the six that nobody can read.
_SMALL_BYTES: Final = 2 * (QUARANTINE_ROW_BYTES + 160)
_SPOILED: Final = 6
_KEPT: Final = (
    f"SELECT COUNT(*), SUM(LENGTH(header) + LENGTH(body) + {QUARANTINE_ROW_BYTES}) FROM quarantine WHERE kind = ?"
)


def choose_cap(world: World, seed: int) -> None:
    """Let the target of every other seed have little room; chance of its own."""
    if Random(f"room of {seed}").random() < 0.5:
        for site in world.sites.values():
            site.limits = replace(site.limits, quarantine_bytes_max=_SMALL_BYTES)


def spoiled_count(world: World) -> int:
    """Return how many segments the source is to seal that nobody can read: more than there is room for, where it is small."""
    return _SPOILED if world.target.limits.quarantine_bytes_max == _SMALL_BYTES else 1


def check_step(site: Shell) -> None:
    """Raise Violation where more is kept aside than may be; one always may."""
    count, kept_bytes = site.connection.execute(_KEPT, (SEGMENT_KIND,)).fetchone()
    if count > 1 and kept_bytes > site.limits.quarantine_bytes_max:
        raise Violation(f"{count} segments in quarantine take {kept_bytes} of {site.limits.quarantine_bytes_max} bytes")
    if site.engine is not None and site.engine.quarantine.is_full:
        site.world.fault_count["quarantine_full"] += 1


def make_room(world: World) -> None:
    """Where a quarantine is full, discard what is in it, as a person does who reads the repair."""
    for site in world.everyone:
        engine = site.engine
        if engine is None or not engine.quarantine.is_full:
            continue
        for item in site.store().quarantined_after(0, 1_000):

            def discard(store: Streams, row: int = item.row, site: Shell = site) -> list[Effect]:
                return [] if site.engine is None else site.engine.quarantine.discard(store, row, site.now_ms)

            site.work("discards", discard)
    world.dial()
