"""Pairing at every state, parting, and what each side may do at the other."""

from typing import Any

import segno
from msgspec.structs import replace

from tests.web.samples.connectors import PART_FIRST
from tests.web.samples.frame import (
    CONNECTED,
    CONNECTOR_ID,
    DAY_MS,
    FINGERPRINT,
    HOUR_MS,
    MINUTE_MS,
    NOT_PAIRED,
    NOW_MS,
    shell,
)
from web import contexts as c
from web import pairing_text

PAIR = c.PairFacts(
    pair_id="p-7d1f0a92c4e84b13",
    role=c.Role.SOURCE,
    peer_site_name="riverside",
    peer_connector_id="T4W8X",
    fingerprint=FINGERPRINT,
    paired_since_ms=NOW_MS - 9 * DAY_MS,
    key_day="2026-11-20",
    hub_url="wss://hub.example.net/connect",
    link=CONNECTED,
)


def window(left_ms: int = 581_000) -> c.PairingWindow:
    """Return a window with its QR code."""
    text = pairing_text.write("hillside", CONNECTOR_ID, "7K3M-Q9TD-5")
    return c.PairingWindow(
        site_name="hillside",
        connector_id=CONNECTOR_ID,
        code="7K3M-Q9TD-5",
        opened_ms=NOW_MS + left_ms - 600_000,
        expires_ms=NOW_MS + left_ms,
        qr_data_uri=segno.make(text, error="m").svg_data_uri(scale=4, border=1),
    )


def remote_sync(state: c.PairingState, **more: object) -> c.RemoteSyncPage:
    """Return the tab in one state."""
    card = c.RemoteSyncCard(CONNECTOR_ID, c.Role.STANDALONE, state)
    return c.RemoteSyncPage(shell(c.Section.SETTINGS, NOT_PAIRED), replace(card, **more))


CLAIM = c.Claim("riverside", "T4W8X", FINGERPRINT, NOW_MS - 2_000, NOW_MS + 9 * MINUTE_MS)
STATE = c.PairingState
REMOTE_SYNC = {
    "idle": remote_sync(STATE.IDLE),
    "not-enrolled": remote_sync(STATE.IDLE, enable_refusal="Enrol this site at a hub first: pairhub enrol."),
    "opening": remote_sync(STATE.OPENING),
    "waiting": remote_sync(STATE.WAITING, window=window()),
    "claiming": remote_sync(STATE.CLAIMING, window=window(48_000), claim=replace(CLAIM, needs_accept=True)),
    "pending-source": remote_sync(STATE.PENDING, role=c.Role.SOURCE, claim=CLAIM),
    "pending-target": remote_sync(STATE.PENDING, role=c.Role.TARGET, claim=CLAIM),
    "paired": c.RemoteSyncPage(
        shell(c.Section.SETTINGS),
        c.RemoteSyncCard(CONNECTOR_ID, c.Role.SOURCE, STATE.PAIRED, pair=PAIR),
        c.PairGuards(CONNECTOR_ID, PART_FIRST, PART_FIRST),
    ),
    "paired-asked": c.RemoteSyncPage(
        shell(c.Section.SETTINGS),
        c.RemoteSyncCard(CONNECTOR_ID, c.Role.SOURCE, STATE.PAIRED, pair=PAIR, peer_asks_to_part=True),
    ),
    "idle-parted": remote_sync(STATE.IDLE, parted_from="riverside"),
    "expired": remote_sync(STATE.EXPIRED, ended_ms=NOW_MS - 30_000),
    "closed": remote_sync(STATE.CLOSED, ended_ms=NOW_MS - 30_000),
    "failed": remote_sync(STATE.FAILED, problem="The hub cannot be reached, so the window could not be opened."),
}


def parting(stage: c.PartingStage, role: c.Role = c.Role.SOURCE, **more: Any) -> c.PartingPage:
    """Return the page in one stage."""
    card = c.PartingCard(CONNECTOR_ID, role, stage, "riverside")
    return c.PartingPage(
        shell(c.Section.SETTINGS),
        replace(card, **more),
        c.PartingForms(CONNECTOR_ID, "Pump house", role, stage, "riverside"),
    )


_STAGE = c.PartingStage
_ASKED: dict[str, Any] = {"asked_by": "eva", "asked_ms": NOW_MS - 2 * HOUR_MS}
PARTING = {
    "together": parting(_STAGE.TOGETHER, queued_count=12_345, pending_edit_count=2, declined_ms=NOW_MS - DAY_MS),
    "asked-here": parting(_STAGE.ASKED_HERE),
    "asked-there": parting(_STAGE.ASKED_THERE, c.Role.TARGET, held_count=7, quarantined_count=1, **_ASKED),
    "asked-both": parting(_STAGE.ASKED_BOTH, **_ASKED),
    "agreed": parting(_STAGE.AGREED, parted=c.PartedFacts(NOW_MS - 5_000, False, 1_000, 990, 10, 1)),
    "parted": parting(_STAGE.PARTED, c.Role.TARGET, parted=c.PartedFacts(NOW_MS - DAY_MS, True, 1_000, 1_000, 0, 0)),
    "alone": parting(_STAGE.ALONE),
    "wrong": replace(
        parting(_STAGE.ASKED_THERE, c.Role.TARGET, **_ASKED),
        forms=c.PartingForms(
            CONNECTOR_ID,
            "Pump house",
            c.Role.TARGET,
            _STAGE.ASKED_THERE,
            "riverside",
            is_flush=True,
            errors={"name": "This is not the name of this connector.", "what": "Choose what becomes of it."},
        ),
    ),
}
SHARING = c.SharingPage(
    shell(c.Section.SETTINGS),
    CONNECTOR_ID,
    "riverside",
    (
        c.PeerRight("edit_tags", "Edit tags", "", is_allowed=True),
        c.PeerRight("set_values", "Set values", "Of resources that are settable.", is_allowed=False),
    ),
    (c.ConflictPolicy("tags", "Tags", "newer"), c.ConflictPolicy("values", "Values", "source")),
    can_edit=True,
)
SHARING_ALONE = replace(SHARING, peer_site_name="", can_edit=False)
