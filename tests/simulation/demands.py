"""What must hold once the world has healed and is quiet (DESIGN, G1 to G14)."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, cast

from shared.batches import BatchCodec
from shared.core import cells as cell_rules
from shared.core.entries import CAUSE_ORIGIN_RESTORED, CAUSE_RETENTION, GapNotice
from shared.core.fields import EXISTS, device_object, generation_of
from shared.core.intervals import IntervalSet
from shared.errors import SealBroken, Undecodable
from shared.limits import DAY_MS, MINUTE_MS
from shared.messages import HeldEpoch
from shared.sealing import Kind
from tests.simulation import gap_sums, quarantine_caps, resource_accounts
from tests.simulation.hub import PAIR_ID
from tests.simulation.network import Violation
from tests.simulation.site import Key, SimSite
from tests.simulation.world import World

# How wrong the origin may be about 30 days where clocks go wrong: jumps of under an hour raise no doubt, nor does drift.
CLOCK_ERROR_MS: Final = DAY_MS
_DEVICES = "SELECT identity, generation, name, description, locked FROM device ORDER BY 1"
_GRANTS = "SELECT identity, subject, level, expires_ms FROM grant_row JOIN device USING (device_id) ORDER BY 1, 2"
_TAGS = "SELECT identity, tag.name, tag.value FROM tag JOIN device USING (device_id) ORDER BY 1, 2, 3"
_WAITING = {
    "control entries at the {side}": "SELECT COUNT(*) FROM control_out",
    "segments at the {side}": "SELECT COUNT(*) FROM segment",
    "tail chunks at the {side}": "SELECT COUNT(*) FROM tail",
    "open replays at the {side}": "SELECT COUNT(*) FROM replay WHERE is_open = 1",
}


def outstanding(world: World) -> list[str]:
    """Name what still has to move; empty once all is quiet."""
    found = []
    for site in (world.source, world.target):
        for what, query in _WAITING.items():
            (row,) = site.rows(query)
            if row[0]:
                found.append(f"{row[0]} {what.format(side=site.side.word)}")
    if held := _held(world):
        found.append(f"{held} held chunks at the target")
    for hub in world.meeting:
        for epochs in hub.copies.held(PAIR_ID).values():
            # Entries of an earlier start go when a link opens: only then the hub says what it holds.
            found += [
                f"{_OLD if _is_old(world, held) else ''}copies at the hub: {held}"
                for held in epochs
                if not _is_orphan(world, held)
            ]
    if _cells(world.source) != _cells(world.target):
        found.append("cells differ")
    found += _accounts(world)
    return found


def _held(world: World) -> int:
    """Count what is held, without what waits its 30 days: of a device whose making a restored source has forgotten.

    Nobody knows of its generation then, be the device there in an earlier one or deleted.
    """
    codec, target = BatchCodec(), world.target
    bodies = target.rows("SELECT body FROM held")
    if not (bodies and world.source.restored):
        return len(bodies)
    known = {cell.object: abs(generation_of(cell.value)) for cell in target.store().cells() if cell.field == EXISTS}
    chunks = [codec.decode_columns(cast("bytes", body)) for (body,) in bodies]
    devices = [(chunk, chunk.series[0][0]) for chunk in chunks]
    return sum(not chunk.generation(device) > known.get(device_object(device), 0) > 0 for chunk, device in devices)


_OLD = "old "


def is_left_to_next_link(what: str) -> bool:
    """Tell whether a finding is a lost word about what is settled already, or waits for a device that people make again."""
    return what.startswith(("old ", "the source knows", "the target was told", "cells differ")) or "held chunks" in what


def _is_forgotten_replay(world: World, what: str) -> bool:
    """Tell whether a source that was restored to before its own ask has to tell so anew, for a hub lost or turned its word."""
    return "open replays at the target" in what and world.source.restored and world.lied


def settle(world: World, *, minutes: int = 30, exact: bool = True) -> None:
    """Let time pass until all is quiet; raises Violation where that does not happen (liveness).

    Without `exact`, words lost on the present links about what is settled already may be missing.
    """
    end_ms = world.now_ms + minutes * MINUTE_MS
    while world.now_ms < end_ms:
        world.drain()
        quarantine_caps.make_room(world)
        left = outstanding(world)
        if not exact:
            left = [what for what in left if not (is_left_to_next_link(what) or _is_forgotten_replay(world, what))]
        if not left:
            return
        due_ms = world.next_due_ms()
        if due_ms is None:
            raise Violation(f"nothing is due, yet {left}")
        world.now_ms = max(world.now_ms, due_ms)
        world.ring()
    raise Violation(f"not quiet after {minutes} minutes: {outstanding(world)}")


def _is_old(world: World, held: HeldEpoch) -> bool:
    current = [site.engine.control_epoch for site in world.sites.values() if site.engine is not None]
    return held.kind == Kind.CONTROL and held.epoch not in current


def _is_orphan(world: World, held: HeldEpoch) -> bool:
    """Tell whether copies were damaged on their way and nobody has the original: a restored source, or a cancelled replay."""
    damaged = world.fault_count["segment_corrupted"] or world.fault_count["hub_edits"]
    if not (damaged and held.kind == Kind.SEGMENT):
        return False
    if not world.source.restored and held.epoch in world.source.store().epochs_out():
        return False
    return not world.source.store().segments_numbered(held.epoch, IntervalSet(held.numbers))


def _cells(site: SimSite) -> bytes:
    return cell_rules.digest(site.store().cells())


def _accounts(world: World) -> list[str]:
    """Compare what the source believes about the target with the target, and the other way round (G1)."""
    found = []
    ledger = world.source.store().ledger()
    theirs = world.target.store().epochs_in()
    known = world.source.store().epochs_out()
    for epoch in theirs:
        ours = known.get(epoch.epoch)
        stated = (epoch.applied, epoch.held, epoch.quarantined, {k: v for k, v in epoch.dropped.items() if v})
        if ours is None:
            if any(stated[:3]):
                found.append(f"the source does not know epoch {epoch.epoch}")
        elif (ours.applied, ours.held, ours.quarantined, {k: v for k, v in ours.dropped.items() if v}) != stated:
            found.append(f"the source knows {ours} of the target's {epoch}")
    stored = world.target.store().peer_ledger()
    if stored is None or stored[0] != ledger:
        found.append(f"the target was told {stored}, the source has {ledger}")
    else:
        found += resource_accounts.untold(world)
    return found


def notices(site: SimSite, *, ours: bool) -> dict[str, GapNotice]:
    """The gap notices of one origin, as one site has them."""
    return {notice.gap_id: notice for notice in site.store().gaps(ours=ours)}


def check(world: World) -> list[str]:
    """Return every demand that does not hold at the end."""
    found = outstanding(world)
    source, target = world.source, world.target
    if source.rows(_DEVICES) != target.rows(_DEVICES):
        found.append(f"devices differ: {source.rows(_DEVICES)} {target.rows(_DEVICES)}")
    if source.rows(_TAGS) != target.rows(_TAGS):
        found.append(f"tags differ: {source.rows(_TAGS)} {target.rows(_TAGS)}")
    if source.rows(_GRANTS) != target.rows(_GRANTS):
        found.append(f"grants differ: {source.rows(_GRANTS)} {target.rows(_GRANTS)}")
    for mine, other in ((source, target), (target, source)):
        if mine.store().definitions() != other.store().peer_definitions():
            found.append(f"the {other.side.word} does not know the {mine.side.word}'s definitions")
        missing = notices(mine, ours=True).keys() - notices(other, ours=False).keys()
        if missing:
            found.append(f"{len(missing)} gap notices of the {mine.side.word} did not arrive")
        more = notices(other, ours=False).keys() - notices(mine, ours=True).keys()
        if more and not mine.restored:
            found.append(f"the {other.side.word} has {len(more)} gap notices that the {mine.side.word} has not")
    found += _readings(world)
    found += resource_accounts.check(world)
    found += gap_sums.check(world)
    found += [f"from when to when? {each}" for each in _uncounted(source) if each.first_ms >= each.last_ms]
    if not source.restored and not target.restored:
        found += _exact(world)
    return found


def _readings(world: World) -> list[str]:
    """Every reading the source has and streamed is at the target, equal, or accounted for."""
    source, target = world.source, world.target
    at_source, at_target = source.readings(), target.readings()
    at_source_stored = at_source.keys()
    found = []
    named = list((notices(source, ours=True) | notices(target, ours=True)).values())
    both = notices(source, ours=False) | notices(target, ours=False)
    named = [notice for notice in named if notice.gap_id in both]
    spoiled = _quarantined(world)
    generations = {row[0]: row[1] for row in source.rows("SELECT identity, generation FROM device")}
    for key, value in source.accepted.items():
        generation = source.generations[key]
        if generation != generations.get(key[0]):
            # Its history went with the device, at either side. One that a restored source took twice is of both.
            if key in at_target and not source.restored:
                found.append(f"{key} of generation {generation} is with {generations.get(key[0])}")
            continue
        if key not in at_target and (key[0], generation) in world.ended:
            continue  # somebody who did not know of its deletion made the same generation of it, without its history
        if key not in at_source_stored and source.restored:
            if key not in at_target and not _may_be_missing(world, key):
                found.append(f"{key} went with a disk, and no notice says that of then anything may be missing")
            continue
        if key in at_target:
            # A time that a restored source has forgotten it may take again, with another value (G6).
            accepted = [value, *source.accepted_before.get(key, ())]
            if not any(at_target[key] == each and type(at_target[key]) is type(each) for each in accepted):
                found.append(f"{key} is {at_target[key]!r} at the target, {value!r} at the source")
        elif not _is_named(world, key, named) and key not in spoiled:
            found.append(f"{key} is missing at the target and in no gap notice")
    # What a restored target is given again, or a replay sends, is of the source's history, and the toggle is not in it; a
    # source restored since does not have it any more.
    strangers = [
        key
        for key, value in at_target.items()
        if key not in source.accepted
        and not ((target.restored or world.replayed) and at_source.get(key) == value)
        and not (world.replayed and source.restored and value in source.offered.get(key, ()))
    ]
    if strangers:
        found.append(f"the target has {len(strangers)} readings that nobody sent, such as {strangers[0]}")
    return found[:20]


def _may_be_missing(world: World, key: Key) -> bool:
    """Tell whether a reading that a restore lost was accepted when a notice says that an unknown number may be missing.

    A restore of which nothing shows, since nothing was delivered in between, tells nobody; of several one may be such.
    """
    source = world.source
    tells = source.store().ledger().unknown and source.restores == 1 and not world.fault_count["source_cloned"]
    if not tells or world.clocks_are_off:
        return True
    accepted_ms = source.accepted_ms[key] + source.skew_ms
    return any(notice.first_ms <= accepted_ms <= notice.last_ms for notice in _uncounted(source))


def _uncounted(source: SimSite) -> list[GapNotice]:
    """Return the notices of what a restore of the source lost and nobody can count."""
    mine = notices(source, ours=True).values()
    return [notice for notice in mine if notice.cause == CAUSE_ORIGIN_RESTORED and notice.count is None]


def _is_named(world: World, key: Key, named: list[GapNotice]) -> bool:
    """Tell whether a notice names a reading, and one of expiry only where it was accepted long enough before (G5)."""
    device, resource, at_ms = key
    source = world.source
    expired_ms = source.accepted_ms[key] + source.limits.retention_ms
    if world.clocks_are_off:
        expired_ms -= CLOCK_ERROR_MS
    return any(
        row.device == device and row.resource == resource and row.first_ms <= at_ms <= row.last_ms
        for notice in named
        if notice.cause != CAUSE_RETENTION or expired_ms <= source.noticed_ms.get(notice.gap_id, expired_ms)
        for row in notice.rows
    )


def _quarantined(world: World) -> set[Key]:
    """Readings in segments that the target could not apply: nobody can read them, or their times are far ahead."""
    codec = BatchCodec()
    spoiled = [series for body in world.source.keys.spoiled for series in codec.decode(body)]
    for header, body in world.target.rows("SELECT header, body FROM quarantine WHERE header IS NOT NULL"):
        with suppress(Undecodable, SealBroken):
            _, plain = world.target.keys.open(Kind.SEGMENT, cast("bytes", header), cast("bytes", body))
            spoiled += codec.decode(plain)
    return {(series.device, series.resource, at_ms) for series in spoiled for at_ms in series.times_ms}


def _exact(world: World) -> list[str]:
    """What holds to the last reading where nothing was restored."""
    found = []
    ledger = world.source.store().ledger()
    if ledger.accepted != world.source.accepted_count:
        found.append(f"{world.source.accepted_count} readings were accepted, the account says {ledger.accepted}")
    if ledger.applied + ledger.quarantined + ledger.dropped_total != ledger.accepted:
        found.append(f"the account is not exact: {ledger}")
    if ledger.applied != len(world.target.readings()) and not (world.ended or world.replayed):
        found.append(f"{len(world.target.readings())} readings at the target, the account says {ledger.applied}")
    if ledger.adopted or ledger.unknown or "destination_restored" in ledger.dropped:
        found.append(f"the account speaks of a restore that did not happen: {ledger}")
    return found
