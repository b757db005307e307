"""What is left after chaos: every reading that was accepted is looked for, and both sides are compared."""

from __future__ import annotations

from typing import Any, Final

from shared.rig.chaos.load import BATCH_READINGS, Load, batch
from shared.rig.chaos.plant import DEVICES, RESOURCES, Machine, Plant, device_name
from shared.rig.chaos.weighing import Evidence, Restore, Scales, Verdict
from shared.rig.client import until

_PAGE: Final = 50_000
_COMPARED: Final = ("accepted", "applied", "queued", "quarantined", "dropped")


async def settle(plant: Plant, timeout_s: float) -> None:
    """Wait until nothing is on its way any more, in either direction; raises PairhubError with what still is."""

    async def at_rest() -> bool:
        own, _ = await _accounts(plant.source)
        theirs, stated = await _accounts(plant.target)
        pending = [await _pending(site) for site in plant.sites]
        told = stated is not None and all(stated[name] == own[name] for name in _COMPARED)
        if own["queued"] or any(pending) or not told or own["applied"] != theirs["applied"]:
            return False
        return await _notices_untold(plant) == 0

    await until(at_rest, timeout_s=timeout_s, every_s=0.25, what="everything to be delivered")


async def _accounts(site: Machine) -> tuple[Any, Any]:
    answer = await site.client().get(f"/connectors/{site.connector_id}/account")
    return answer["own"], answer["stated_by_source"]


async def _pending(site: Machine) -> int:
    return int((await site.client().get(f"/connectors/{site.connector_id}/devices?sync=pending"))["total"])


async def _gaps(site: Machine) -> list[Any]:
    return await site.client().rows(f"/connectors/{site.connector_id}/gaps")


async def _notices_untold(plant: Plant) -> int:
    """Count the notices of either side that the other one does not have as they are."""
    seen = [{(gap["gap_id"], gap["taken_back"]): gap["ours"] for gap in await _gaps(site)} for site in plant.sites]
    return sum(ours and key not in seen[1 - at] for at in (0, 1) for key, ours in seen[at].items())


async def judge(plant: Plant, load: Load, restores: list[Restore]) -> Verdict:
    """Read everything back and compare; what must be 0 in the answer is a promise that was broken."""
    sides = {"source": plant.source, "target": plant.target}
    of_source = [restore for restore in restores if restore.site == "source"]
    evidence = Evidence(
        own={name: (await _accounts(site))[0] for name, site in sides.items()},
        notices={name: await _gaps(site) for name, site in sides.items()},
        restores=restores,
        twice_max=sum(each.unsealed + BATCH_READINGS * load.done.under_way(each.restored_s) for each in of_source),
    )
    scales = Scales(evidence)
    for at in range(DEVICES):
        for resource, sent in _sent(load, at).items():
            series = device_name(at), resource
            found, repeated = await _history(plant.target, *series)
            whole = all(found.get(time_ms) == value for time_ms, (value, _) in sent.items())
            looked_at = not whole or evidence.was_restored("source")
            kept = (await _history(plant.source, *series))[0] if looked_at else {}
            scales.put(series, sent, found, kept, repeated)
    verdict = scales.weigh()
    await _compare_devices(plant, verdict)
    return verdict


def _sent(load: Load, device: int) -> dict[str, dict[int, tuple[float, float]]]:
    """Return by resource what one device sent: (value, when it was answered as accepted) by time."""
    sent: dict[str, dict[int, tuple[float, float]]] = {resource: {} for resource in RESOURCES}
    for number, accepted_s in load.done.accepted.items():
        if number % DEVICES == device:
            for _, resource, time_ms, reading in batch(number, load.start_ms):
                sent[resource][time_ms] = (reading, accepted_s)
    return sent


async def _history(site: Machine, device: str, resource: str) -> tuple[dict[int, float], int]:
    """Return the readings of a series by time, and how many came more than once."""
    found: dict[int, float] = {}
    repeated, from_ms = 0, 0
    while True:
        query = f"device={device}&resource={resource}&from={from_ms}&limit={_PAGE}"
        rows = (await site.client().get(f"/connectors/{site.connector_id}/readings?{query}"))["readings"]
        for time_ms, reading in rows:
            repeated += time_ms in found
            found[time_ms] = reading
        if len(rows) < _PAGE:
            return found, repeated
        from_ms = rows[-1][0] + 1


async def _compare_devices(plant: Plant, verdict: Verdict) -> None:
    seen = [await _devices(site) for site in plant.sites]
    for identity in sorted(seen[0].keys() | seen[1].keys()):
        here, there = seen[0].get(identity), seen[1].get(identity)
        if here != there:
            verdict.edits_unequal += 1
            verdict.say(f"unequal: {identity}: {here} at the source, {there} at the target")


async def _devices(site: Machine) -> dict[str, Any]:
    rows = await site.client().rows(f"/connectors/{site.connector_id}/devices")
    found: dict[str, Any] = {}
    for row in rows:
        found[row["identity"]] = (row["name"], row["description"], row["locked"], sorted(row["tags"]))
    return found
