"""What is left after chaos: every reading that was accepted is looked for, and both sides are compared."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.rig.chaos.load import BATCH_READINGS, Load, batch
from shared.rig.chaos.plant import DEVICES, RESOURCES, Machine, Plant, device_name
from shared.rig.client import until

_PAGE: Final = 50_000
_SAMPLES_MAX: Final = 20


class Verdict(msgspec.Struct):
    """What must be 0, and what explains it. `named` are readings that are missing and covered by a gap notice."""

    lost: int = 0
    duplicated: int = 0
    unaccounted: int = 0
    edits_unequal: int = 0
    named: int = 0
    samples: list[str] = msgspec.field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything that must be 0 is 0."""
        return not (self.lost or self.duplicated or self.unaccounted or self.edits_unequal)


async def settle(plant: Plant, timeout_s: float) -> None:
    """Wait until nothing is on its way any more, in either direction; raises PairhubError with what still is."""

    async def at_rest() -> bool:
        own, _ = await _accounts(plant.source)
        _, stated = await _accounts(plant.target)
        pending = [await _pending(site) for site in plant.sites]
        same = stated is not None and stated["accepted"] == own["accepted"]
        return own["queued"] == 0 and not any(pending) and same

    await until(at_rest, timeout_s=timeout_s, every_s=0.25, what="everything to be delivered")


async def _accounts(site: Machine) -> tuple[Any, Any]:
    answer = await site.client().get(f"/connectors/{site.connector_id}/account")
    return answer["own"], answer["stated_by_source"]


async def _pending(site: Machine) -> int:
    return int((await site.client().get(f"/connectors/{site.connector_id}/devices?sync=pending"))["total"])


async def judge(plant: Plant, load: Load, source_restored_s: list[tuple[float, float]]) -> Verdict:
    """Read everything back and compare; what must be 0 in the answer is a promise that was broken."""
    verdict = Verdict()
    expected: dict[tuple[str, str], dict[int, tuple[float, float]]] = {
        (device_name(at), resource): {} for at in range(DEVICES) for resource in RESOURCES
    }
    for number, accepted_s in load.done.accepted.items():
        for device, resource, time_ms, reading in batch(number, load.start_ms):
            expected[device, resource][time_ms] = (reading, accepted_s)
    named = await _named_gaps(plant.source)
    for (device, resource), sent in expected.items():
        found, repeated = await _history(plant.target, device, resource)
        kept: dict[int, float] | None = None  # what the source itself has; looked at where something is lost
        verdict.duplicated += repeated
        for time_ms, (reading, accepted_s) in sent.items():
            if found.get(time_ms) == reading:
                continue
            if _is_named(named, device, resource, time_ms) or _forgotten(accepted_s, source_restored_s):
                verdict.named += 1
            else:
                verdict.lost += 1
                if kept is None:
                    kept, _ = await _history(plant.source, device, resource)
                where = "the source has it" if kept.get(time_ms) == reading else "the source has lost it too"
                _sample(verdict, f"lost: {device} {resource} {time_ms}, found {found.get(time_ms)}; {where}")
    await _account(plant, load, verdict, restored=bool(source_restored_s))
    await _compare_devices(plant, verdict)
    return verdict


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


async def _named_gaps(source: Machine) -> list[tuple[str, str, int, int]]:
    """Return (device, resource, first, last) of every row of every gap notice; an empty device stands for several."""
    notices = await source.client().rows(f"/connectors/{source.connector_id}/gaps")
    return [
        (device, resource, first_ms, last_ms)
        for notice in notices
        for device, resource, _, first_ms, last_ms in notice["rows"]
    ]


def _is_named(named: list[tuple[str, str, int, int]], device: str, resource: str, time_ms: int) -> bool:
    return any(
        named_device in ("", device) and named_resource == resource and first_ms <= time_ms <= last_ms
        for named_device, named_resource, first_ms, last_ms in named
    )


def _forgotten(accepted_s: float, source_restored_s: list[tuple[float, float]]) -> bool:
    """Whether the source was put back to before this was accepted: its account says *unknown* of what it forgot."""
    return any(copied_s <= accepted_s <= restored_s for copied_s, restored_s in source_restored_s)


async def _account(plant: Plant, load: Load, verdict: Verdict, *, restored: bool) -> None:
    """The books of the source balance, agree with what was sent, and say *unknown* where they must."""
    own, _ = await _accounts(plant.source)
    places = own["applied"] + own["queued"] + own["quarantined"] + own["dropped"]
    verdict.unaccounted += abs(own["accepted"] - places)
    sent = len(load.done.accepted) * BATCH_READINGS
    if not restored:
        verdict.unaccounted += abs(own["accepted"] - sent)
    if verdict.named and restored and not own["unknown"]:
        verdict.unaccounted += verdict.named
    if verdict.unaccounted:
        _sample(verdict, f"account of {sent} readings: {own}")


async def _compare_devices(plant: Plant, verdict: Verdict) -> None:
    seen = [await _devices(site) for site in plant.sites]
    for identity in sorted(seen[0].keys() | seen[1].keys()):
        here, there = seen[0].get(identity), seen[1].get(identity)
        if here != there:
            verdict.edits_unequal += 1
            _sample(verdict, f"unequal: {identity}: {here} at the source, {there} at the target")


async def _devices(site: Machine) -> dict[str, Any]:
    rows = await site.client().rows(f"/connectors/{site.connector_id}/devices")
    found: dict[str, Any] = {}
    for row in rows:
        found[row["identity"]] = (row["name"], row["description"], row["locked"], sorted(row["tags"]))
    return found


def _sample(verdict: Verdict, text: str) -> None:
    if len(verdict.samples) < _SAMPLES_MAX:
        verdict.samples.append(text)
