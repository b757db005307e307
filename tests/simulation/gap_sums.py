"""The lists of gaps add up to what the account says is dropped (G1, N4): after each commit, and at both sides in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.sealing import Side
from tests.simulation.network import Violation

if TYPE_CHECKING:
    from tests.simulation.shell import Shell
    from tests.simulation.site import SimSite
    from tests.simulation.world import World

_BEYOND: Final = " UNION ALL SELECT cause, -count FROM gap WHERE ours = 1) GROUP BY cause HAVING SUM(count) <> 0"
# What each side gave up by itself, by cause, beyond its own notices.
_OWN: Final = {
    Side.SOURCE: "SELECT cause, SUM(count) FROM (SELECT cause, count FROM dropped" + _BEYOND,
    Side.TARGET: "SELECT cause, SUM(count) FROM (SELECT key AS cause, value AS count FROM epoch_in, json_each(dropped)"
    + _BEYOND,
}
_TORN: Final = (
    "SELECT gap_id, count, taken_back FROM gap WHERE count < 0 OR taken_back < 0 OR count < (SELECT SUM(count) FROM"
    " gap_row WHERE gap_row.connector_id = gap.connector_id AND gap_row.gap_id = gap.gap_id)"
)
_BY_CAUSE: Final = "SELECT cause, SUM(count) FROM gap WHERE count > 0 GROUP BY cause ORDER BY cause"
_OF_RESOURCES: Final = (
    "SELECT resource, cause, SUM(count) FROM (SELECT resource, cause, count FROM resource_dropped"
    " UNION ALL SELECT resource, cause, -gap_row.count FROM gap_row JOIN gap USING (connector_id, gap_id) WHERE ours = 1)"
    " GROUP BY resource, cause HAVING SUM(count) < 0"
)


def check_step(site: Shell) -> None:
    """Raise Violation where a unit of work leaves a side's own notices beside its own account."""
    beyond = site.connection.execute(_OWN[site.side]).fetchall()
    if beyond:
        raise Violation(f"the {site.side.word} dropped so many more than its notices say: {beyond}")


def check(world: World) -> list[str]:
    """Return what does not hold at the end."""
    found = []
    for site in (world.source, world.target):
        torn = site.rows(_TORN)
        if torn:
            found.append(f"notices of the {site.side.word} whose counts do not fit together: {torn}")
    found += _differing(world.source, world.target) + _differing(world.target, world.source)
    if not world.source.restored and not world.target.restored:
        found += _sums(world)
    return found


def _differing(mine: SimSite, other: SimSite) -> list[str]:
    """Return own notices that the other side shows otherwise."""
    there = {notice.gap_id: notice for notice in other.store().gaps(ours=False)}
    pairs = [(notice, there[notice.gap_id]) for notice in mine.store().own_gaps() if notice.gap_id in there]
    return [
        f"a notice of the {mine.side.word} is {a}, at the other side {b}"
        for a, b in pairs
        if (a.count, a.rows, a.taken_back) != (b.count, b.rows, b.taken_back)
    ]


def _sums(world: World) -> list[str]:
    """What each side lists is what the account says, to the reading; no resource is named more often than it was dropped."""
    dropped = sorted((cause, count) for cause, count in world.source.store().ledger().dropped.items() if count)
    found = [
        f"the {site.side.word} lists {site.rows(_BY_CAUSE)}, the account says {dropped}"
        for site in (world.source, world.target)
        if [tuple(row) for row in site.rows(_BY_CAUSE)] != dropped
    ]
    over = world.source.rows(_OF_RESOURCES)
    return found + ([f"notices name more of resources than the account dropped: {over}"] if over else [])
