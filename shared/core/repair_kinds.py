"""Every kind of repair: its stable code, its words, the page where it is mended, and how calm it is.

The words are templates; `{...}` are facts that the finding names. One row a kind, drawn into docs/operations.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.limits import (
    DUPLICATE_CLEAR_AFTER_MS,
    OFFLINE_AFTER_MS,
    PEER_OFFLINE_AFTER_MS,
    REPAIR_CLEAR_AFTER_MS,
    REPAIR_RAISE_AFTER_MS,
)


class Mended(StrEnum):
    """Where a repair is mended: a page of connector or site, or outside (at the machine, at the hub, at the other site)."""

    OVERVIEW = "overview"
    REMOTE_SYNC = "remote_sync"
    RESOURCES = "resources"
    PARTING = "parting"
    SETTINGS = "settings"
    QUARANTINE = "quarantine"
    HUB = "hub"
    REPAIRS = "repairs"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class RepairKind:
    """One kind. It is raised after holding for `raise_after_ms`, and cleared after being gone for `clear_after_ms`.

    `is_of_link`: a link that is up disproves it, so that it is not shown meanwhile; should it come back within that time, it
    is the same repair as before, and nobody is told twice.
    """

    title: str
    cause: str
    means: str
    fix: str
    mended: Mended = Mended.OUTSIDE
    is_urgent: bool = False
    raise_after_ms: int = 0
    clear_after_ms: int = REPAIR_CLEAR_AFTER_MS
    is_of_link: bool = False


REPAIRS: Final[dict[str, RepairKind]] = {
    # the machine
    "storage_failed": RepairKind(
        "The disk refused to store",
        "{why}",
        "Nothing new is taken; what was stored before stays, and nothing is acknowledged that is not stored.",
        "Free space or replace the disk; it goes on by itself once it stores again.",
        is_urgent=True,
    ),
    "database_unreadable": RepairKind(
        "The database cannot be read",
        "{why}",
        "Pages and lookups that need it fail; what waits for the other side cannot move.",
        "See that the disk works and that the file is there; if it is damaged, restore a backup.",
        is_urgent=True,
    ),
    "work_stopped": RepairKind(
        "Something this site does by itself fails",
        "{what} stopped with an error that nobody expected, within the last ten minutes.",
        "It was begun again and may fail again, so what it does may come late or not at all. All else goes on.",
        "The log says which error it was; report it. If it goes on, start the daemon again.",
        clear_after_ms=0,
    ),
    "history_damaged": RepairKind(
        "Some history cannot be read any more",
        "The disk gave {count} readings of {connector} back damaged, from {first} to {last}.",
        "They are set aside: charts and exports leave them out. All else is read, and new readings are stored as before.",
        "See that the disk is sound. Replay that time from the other side where it has these readings, or restore a backup; "
        "else nothing is to be done, and this ends when they would have expired, or with the connector.",
        clear_after_ms=0,
    ),
    "disk_low": RepairKind(
        "The disk is nearly full",
        "{free} are free; the warning begins below {limit}.",
        "Once it is full, nothing new is stored until there is room again.",
        "Free space, or give the disk more; a site can keep its history for a shorter time.",
    ),
    "certificate": RepairKind(
        "The certificate of this {place} needs care",
        "{why}",
        "When it has ended, browsers and programs refuse to connect.",
        "Renew it; the daemon loads the new files by itself.",
        clear_after_ms=0,
    ),
    "clock_in_doubt": RepairKind(
        "The clock is in doubt",
        "{why}",
        "Nothing expires while it is in doubt, and the times of new readings may be wrong.",
        "Set this machine's clock; until then nothing expires.",
    ),
    "clock_off": RepairKind(
        "The clock is off by {off}",
        "This machine's clock is {off} {way} the {other}'s.",
        "Readings without a time of their own get wrong times, and edits made here win or lose by a wrong clock.",
        "Let both machines follow a time server, then look again.",
        raise_after_ms=REPAIR_RAISE_AFTER_MS,
    ),
    # the hub
    "not_enrolled": RepairKind(
        "This site is not enrolled at its hub",
        "{why}",
        "It has no link, so nothing can be paired, and what is paired waits.",
        "Type a token of the hub's operator on the page Hub (or: pairhub enrol TOKEN).",
        Mended.HUB,
        is_urgent=True,
        clear_after_ms=0,
    ),
    "hub_unreachable": RepairKind(
        "The hub cannot be reached",
        "{why}",
        "Readings wait here, on disk, and go on by themselves; lookups show the last good copy.",
        "See that the hub runs and that this machine's network leads to it (pairhub doctor site says what fails).",
        Mended.HUB,
        is_urgent=True,
        raise_after_ms=OFFLINE_AFTER_MS,
        is_of_link=True,
    ),
    "link_problem": RepairKind(
        "The link has a problem",
        "{why}",
        "This connector has no link; its readings wait here, on disk.",
        "Open Remote-Sync, which says what it tries.",
        Mended.REMOTE_SYNC,
        raise_after_ms=REPAIR_RAISE_AFTER_MS,
        is_of_link=True,
    ),
    "duplicate_instance": RepairKind(
        "Two copies of this site run",
        "{why}",
        "They displace each other's link, so nothing flows steadily.",
        "Stop one of them; if it is a clone, give it a data directory of its own.",
        Mended.REMOTE_SYNC,
        is_urgent=True,
        clear_after_ms=DUPLICATE_CLEAR_AFTER_MS,
    ),
    "version_mismatch": RepairKind(
        "The releases do not fit together",
        "{why}",
        "There is no link until they do; readings wait here, on disk.",
        "Upgrade the older one.",
        Mended.REMOTE_SYNC,
        is_urgent=True,
    ),
    # the pair
    "pairing_failed": RepairKind(
        "The pairing did not come to its end",
        "{why}",
        "This connector has no peer.",
        "Open a new window at the source and pair again.",
        Mended.REMOTE_SYNC,
        clear_after_ms=0,
    ),
    "pairing_incomplete": RepairKind(
        "The pairing is not complete yet",
        "{why}",
        "No reading flows until both sides have said yes.",
        "Open Remote-Sync, which says who has to do what.",
        Mended.REMOTE_SYNC,
        clear_after_ms=0,
    ),
    "peer_offline": RepairKind(
        "{peer} is off line",
        "{peer} has no link to the hub.",
        "Readings wait at the source, on disk, and go on by themselves; lookups show the last good copy.",
        "See that its daemon runs and reaches the hub.",
        Mended.REMOTE_SYNC,
        raise_after_ms=PEER_OFFLINE_AFTER_MS,
        is_of_link=True,
    ),
    "stalled": RepairKind(
        "Nothing moves",
        "Both sides are linked and readings wait, yet none is applied.",
        "Nothing is lost, but nothing arrives.",
        "See the repairs and the log of {peer}: most often its disk refuses, or it is overloaded.",
        Mended.OVERVIEW,
        is_urgent=True,
    ),
    "no_answer": RepairKind(
        "{peer} does not answer",
        "Both sides are linked, but a question through the whole pair does not come back.",
        "Lookups fail or show the last good copy.",
        "See the log of {peer}; if it is overloaded or hangs, start its daemon again.",
        Mended.OVERVIEW,
    ),
    "no_credit": RepairKind(
        "{peer} takes nothing more at present",
        "The hub grants no credit, for {peer} is slower than what comes.",
        "Readings wait here, on disk; memory does not grow.",
        "Look at the load and the disk of {peer}, and of the hub.",
        Mended.OVERVIEW,
        raise_after_ms=REPAIR_RAISE_AFTER_MS,
    ),
    "drain_budget": RepairKind(
        "The drain budget holds the backlog back",
        "At {budget} a second the {waiting} that wait need {needed}.",
        "Live readings are not slowed; what waited arrives late.",
        "Raise the drain budget, or leave it and wait.",
        Mended.SETTINGS,
        raise_after_ms=REPAIR_RAISE_AFTER_MS,
    ),
    "backlog_near_cap": RepairKind(
        "The space for waiting readings runs out",
        "{waiting} of the {cap} that may wait are taken.",
        "At the cap {then}.",
        "Restore the connection, or raise outbox_bytes_max.",
        Mended.OVERVIEW,
        is_urgent=True,
    ),
    "backlog_near_retention": RepairKind(
        "Waiting readings are about to expire",
        "The oldest has waited for {age} of the {retention} that readings wait.",
        "Then it is dropped, with a gap notice on both sides.",
        "Restore the connection, or raise retention_days.",
        Mended.OVERVIEW,
        is_urgent=True,
    ),
    "held_near_retention": RepairKind(
        "Held readings are about to expire",
        "The oldest has waited {age} of the {retention} that readings wait at the target for their device or resource.",
        "Then it is dropped, with a gap notice on both sides.",
        "Make the missing device or resource at the target, or the same definition at both sides.",
        Mended.RESOURCES,
        is_urgent=True,
    ),
    "resource_missing_there": RepairKind(
        "Resource missing at {peer}",
        "“{alias}” does not exist there.",
        "Its readings are held back until the same resource exists at {peer}.",
        "Create it there.",
        Mended.RESOURCES,
        clear_after_ms=0,
    ),
    "resource_missing_here": RepairKind(
        "Resource missing here",
        "{peer} sends “{alias}”, which does not exist here.",
        "Its readings wait at {peer}.",
        "Create the same here, and its readings flow.",
        Mended.RESOURCES,
        clear_after_ms=0,
    ),
    "resource_different": RepairKind(
        "Resource differs from {peer}'s",
        "“{alias}” differs in {different}.",
        "Its readings are held back.",
        "Make both sides equal.",
        Mended.RESOURCES,
        clear_after_ms=0,
    ),
    "resources_untold": RepairKind(
        "More resources than the other site can be told of",
        "The definitions of all resources of this connector do not fit one message: {count} of them are left out of it.",
        "To the other site they do not exist, so their readings are not taken there. All others flow.",
        "Delete resources, shorten lists of allowed values, or make these resources at another connector instead.",
        Mended.RESOURCES,
        clear_after_ms=0,
    ),
    "quarantine": RepairKind(
        "Something arrived that could not be applied",
        "{count} are kept in quarantine.",
        "Nothing else waits for them.",
        "Look at the reasons, then retry or discard them.",
        Mended.QUARANTINE,
        clear_after_ms=0,
    ),
    "quarantine_full": RepairKind(
        "Quarantine is full",
        "{used} of the {cap} that may be kept aside are taken, and more arrived that could not be applied.",
        "It is not taken: it waits at {peer}, and what comes behind it may have to wait too. Nothing is lost.",
        "Retry or discard what is in quarantine, or raise quarantine_bytes_max; a quarter free, it goes on by itself.",
        Mended.QUARANTINE,
        is_urgent=True,
    ),
    "quarantine_full_there": RepairKind(
        "The quarantine of {peer} is full",
        "{peer} cannot apply what this site sends, and has no room to keep more of it aside.",
        "It waits here, on disk, and what comes behind it may have to wait too.",
        "Somebody at {peer} has to retry or discard, on its page Quarantine; then it goes on by itself.",
        Mended.QUARANTINE,
        is_urgent=True,
    ),
    "parting_asked": RepairKind(
        "{peer} asks to part",
        "{who} at {peer} wants this pair to end.",
        "Until you answer everything flows.",
        "Agree or decline.",
        Mended.PARTING,
        clear_after_ms=0,
    ),
    # telling people
    "notices_undelivered": RepairKind(
        "Notices by {channel} do not arrive",
        "{why}",
        "{waiting} wait and are tried again; who relies on them hears nothing.",
        "Correct the setting or mend what it leads to, then send a test notice.",
        Mended.REPAIRS,
        raise_after_ms=REPAIR_RAISE_AFTER_MS,
        clear_after_ms=0,
    ),
    # a hub
    "copies_near_cap": RepairKind(
        "The space for copies runs out",
        "{used} of the {cap} that copies may take are taken.",
        "At the cap the oldest copies go first; no reading is lost, for their origins keep them.",
        "See which pairs wait, and why; or raise copy_bytes_max.",
    ),
}
