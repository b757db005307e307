"""The errors that cross a boundary: one base, five kinds, and one table that gives each refusal its words.

A refusal is a normal *no*: it has a stable code, used on the wire, in the API and in tests, and a sentence for people
that says what happened and what to do. Facts are attributes; the text is built in `__str__`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


class PairhubError(Exception):
    """Base of every error of ours."""


class ProtocolError(PairhubError):
    """The peer broke the protocol; the link that carried it is closed with `close_code` (RFC 6455, 7.4)."""

    def __init__(self, what: str, close_code: int = 1002) -> None:
        super().__init__(what)
        self.what = what
        self.close_code = close_code


class LinkLost(PairhubError):
    """The link went away; the work may be tried again on the next one."""


class StorageFailed(PairhubError):
    """The disk refused; nothing of the unit of work was kept."""


class DatabaseNewer(StorageFailed):
    """The database was written by a newer release; nothing in it was touched."""


class InTheWay(PairhubError):
    """What is there already, or runs there, would be overwritten; nothing was touched."""


class BackupUnusable(PairhubError):
    """A backup that is missing, damaged, of another kind, or sealed with another passphrase."""


class Misuse(PairhubError):
    """Our own bug: a call that must not happen in this state."""


class SealBroken(PairhubError):
    """Sealed bytes that do not open: a fault of the carrier (G7), never counted as data."""


class Undecodable(PairhubError):
    """Genuine bytes that cannot be read; they go to quarantine (G7)."""


# code -> (HTTP status, retryable, sentence). `{...}` are facts given to Refused.
REFUSALS: Final[dict[str, tuple[int, bool, str]]] = {
    # pairing (SECURITY, pairing)
    "no_such_window": (
        404,
        True,
        "No pairing window is open for that site name and connector ID. Check both at the "
        "source, and press ENABLE REMOTE-SYNC there if its countdown has ended.",
    ),
    "window_expired": (
        410,
        True,
        "The pairing window has expired. Press ENABLE REMOTE-SYNC at the source for a new code.",
    ),
    "wrong_code": (403, True, "The code is wrong ({attempts_left} attempts left). Read it again at the source."),
    "window_closed": (
        403,
        True,
        "The pairing window was closed after three wrong codes. Press ENABLE REMOTE-SYNC at the source for a new code.",
    ),
    "mistyped_code": (
        422,
        True,
        "That code has a typing error: its check symbol does not fit. No attempt was used up.",
    ),
    "source_paired": (
        409,
        False,
        "That source is already paired. One source pairs with one target; part the existing pair first.",
    ),
    "target_paired": (409, False, "This target is already paired. Create another connector for another source."),
    "same_connector": (409, False, "A connector cannot be paired with itself. Use two different connectors."),
    "no_hub": (
        409,
        False,
        "This site knows no hub. Start it with the address of one, as in --hub-url https://hub.example.",
    ),
    "hub_not_reachable": (
        503,
        True,
        "The hub cannot be reached from this site. Check the hub address and the network, then try again.",
    ),
    "peer_not_linked": (
        503,
        True,
        "The other site is not linked to the hub at the moment. "
        "See that its daemon runs and reaches the hub, then try again.",
    ),
    "source_busy": (409, True, "Another claim on this window is being answered. Try again in a few seconds."),
    "claim_timed_out": (504, True, "The other side did not finish the pairing in time. Try again."),
    "pairing_forged": (
        403,
        True,
        "The pairing was tampered with on its way and was given up. "
        "Press ENABLE REMOTE-SYNC at the source for a new code.",
    ),
    "pairing_declined": (403, True, "The operator of the source declined this pairing."),
    "waits_for_accept": (
        409,
        True,
        "The source's operator has not accepted this pairing yet. It goes on by itself as soon as that is done.",
    ),
    "rolled_back": (410, True, "The source gave this pairing up because it was never completed. Pair again."),
    "too_many_knocks": (429, True, "Too many pairing attempts from this site. Wait a minute and try again."),
    "window_open": (409, True, "A pairing window is open already; it ends by itself or when you close it."),
    "not_source": (409, False, "Only a standalone connector can be enabled as a source."),
    "still_paired": (
        409,
        False,
        "A paired connector can be neither disabled nor deleted: its peer at the other site depends "
        "on it. Parting needs both sides.",
    ),
    "part_asked": (
        409,
        True,
        "Somebody has asked to part already. If it was this side, wait or take it back; if it was the other, agree or "
        "decline.",
    ),
    "parted_meanwhile": (503, True, "This connector has just parted from its peer. Try again."),
    "parting_untold": (
        409,
        True,
        "The hub has not heard yet that this connector parted, so its former peer cannot. Try again once the hub can be "
        "reached.",
    ),
    # joining a hub
    "token_unknown": (403, False, "The enrolment token is not known to this hub. Ask its operator for a new one."),
    "token_used": (403, False, "The enrolment token was used already. Ask the hub's operator for a new one."),
    "token_expired": (403, False, "The enrolment token has expired. Ask the hub's operator for a new one."),
    "token_other_site": (
        403,
        False,
        "The enrolment token was made for the site name '{expected}'. Use that name or ask for another token.",
    ),
    "token_required": (
        403,
        False,
        "This hub asks for an enrolment token. Get one from its operator and type it on this site's page Hub.",
    ),
    "site_name_taken": (409, False, "Another site at this hub has the name '{name}'. Choose another site name."),
    "site_revoked": (403, False, "The hub's operator has revoked this site. Ask the operator."),
    "site_unknown": (401, True, "The hub does not know this site; it has to enrol or to show its certificate."),
    "assertion_refused": (401, True, "The hub did not accept this site's proof of identity: {why}."),
    "duplicate_instance": (
        409,
        True,
        "Two running copies of this site displace each other. Stop one of them; "
        "if it is a clone, give it a data directory of its own.",
    ),
    "browser_origin": (403, False, "Connector links are not made by browsers: a request with an Origin is refused."),
    "upgrade_missing": (
        426,
        False,
        "This address takes WebSocket upgrades. If you see this through a proxy, the proxy "
        "strips the Upgrade header: pass Upgrade and Connection on.",
    ),
    "version_mismatch": (
        426,
        False,
        "This release speaks link protocol {ours}, the other side {theirs}. Upgrade the "
        "older one; data waits until then.",
    ),
    "certificate_refused": (403, False, "The hub did not accept the certificate: {why}."),
    "too_many_of_site": (409, True, "This site has {most} {what} at this hub already. End some of them first."),
    "pair_conflict": (
        409,
        False,
        "The hub knows another pair for one of these connectors. One source pairs with one target.",
    ),
    # readings (per line)
    "not_json": (422, False, "The line is not a JSON object with device, resource and value."),
    "bad_batch": (422, False, "This is not what a batch holds here: {why}."),
    "topic_not_mapped": (422, False, "The topic '{topic}' does not fit the template '{template}'."),
    "payload_unreadable": (422, False, "The payload cannot be read: {why}."),
    "path_missing": (422, False, "There is nothing at '{path}' in the payload."),
    "broker_not_reachable": (503, True, "The MQTT broker cannot be used: {why}."),
    "device_locked": (
        423,
        False,
        "The device '{device}' is locked: nothing is taken from it. Unlock it first.",
    ),
    "not_publish_as": (
        403,
        False,
        "'{gateway}' may not report for '{device}'. Give it a publish-as pattern that fits.",
    ),
    "too_many_reporters": (
        413,
        False,
        "One request takes batches of at most {most} gateways. Send the rest in another.",
    ),
    "unknown_device": (
        422,
        False,
        "There is no device '{device}' in this connector. Add it, or let the connector create devices by itself.",
    ),
    "unknown_resource": (422, False, "There is no resource '{resource}' in this connector. Create it first."),
    "wrong_format": (422, False, "The value does not have the format {format} of '{resource}'."),
    "not_allowed": (422, False, "The value is outside what '{resource}' allows ({allowed})."),
    "not_a_number": (422, False, "NaN and infinities are not readings. Leave the line out."),
    "not_exact": (422, False, "A whole number beyond 2^53 cannot be kept exactly. Send it as a string resource."),
    "before_1970": (422, False, "The time lies before 1970."),
    "too_far_ahead": (422, False, "The time lies more than 24 hours ahead. Check the device's clock."),
    "bad_time": (422, False, "The time is neither milliseconds since 1970 nor an ISO 8601 time with a zone."),
    "value_too_large": (422, False, "The value is larger than 64 KiB."),
    "timestamp_taken": (409, False, "There is another value of '{resource}' at this very millisecond already."),
    "too_many_lines": (413, False, "One request takes at most {most} readings. Send the rest in another."),
    "body_too_large": (413, False, "One request takes at most {most} bytes. Send the rest in another."),
    "outbox_full": (
        507,
        True,
        "The outbox is full ({bytes_max} bytes wait for the other site). Keep the readings and send them again later: "
        "restore the connection, raise outbox_bytes_max, or let resources drop their oldest readings.",
    ),
    "disk_reserve": (
        507,
        True,
        "The disk has {free} bytes left, less than the {reserve} that are kept for other work. Make room on it.",
    ),
    "backup_running": (409, True, "A backup is being made already. Wait until it is done."),
    "target_not_writable": (
        409,
        False,
        "This connector is a target: its readings come from the source site '{source}'. Send them there.",
    ),
    # edits (G18, G19)
    "edit_not_allowed": (
        403,
        False,
        "The other site does not let this one edit {what}. Its operator decides that on Settings, Sharing.",
    ),
    "look_up_not_allowed": (
        403,
        False,
        "The other site does not let this one look up devices. Its operator decides that on Settings, Sharing.",
    ),
    "replay_not_allowed": (
        403,
        False,
        "The other site does not let this one ask for readings again. Its operator decides that on Settings, Sharing.",
    ),
    "too_many_replays": (409, True, "{most} replays are open already. Wait until one has ended, or cancel one."),
    "nothing_to_replay": (409, False, "None of the resources asked for is one that this pair sends."),
    "not_settable": (409, False, "'{resource}' is not settable. Its definition at the source says so."),
    "too_many": (422, False, "A device has at most {most} {what}. Remove some first."),
    "too_many_devices": (413, False, "One request takes at most {most} devices. Send the rest in another."),
    "not_paired": (409, False, "This connector has no partner. Pair it first."),
    # by which way a request came
    "hub_not_trusted": (502, True, "The hub's TLS certificate was not accepted: {why}."),
    "wrong_host": (
        421,
        False,
        "This daemon is not called '{host}'. Use its own address; or, if that name is meant for it, put the name into "
        "its setting allowed_hosts, or the whole address into public_url.",
    ),
    "not_through_proxy": (
        403,
        False,
        "Requests from {address} have to come through the proxy. If that is the proxy's own address, add it to "
        "trusted_proxies.",
    ),
    # objects
    "not_found": (404, False, "There is no such {what}."),
    "exists": (409, False, "There is a {what} of that name already."),
    "too_many_resources": (
        409,
        False,
        "The connector has no room for this: all definitions of its resources have to fit one message to the other site. "
        "Delete resources, shorten aliases, units or lists of allowed values, or use another connector for the rest.",
    ),
    "has_readings": (
        409,
        False,
        "'{resource}' has readings, so its format stays. Delete it with its history, or make another resource.",
    ),
    "resource_streams": (
        409,
        False,
        "'{resource}' is sent to the other site. Switch its Remote-Sync off first; what waits is then still delivered.",
    ),
    "resource_received": (
        409,
        False,
        "The other site sends '{resource}' here. Its Remote-Sync has to be switched off there first.",
    ),
    "resource_waits": (
        409,
        False,
        "{count} readings of '{resource}' still wait for the other site. Try again once they are delivered.",
    ),
    "invalid": (422, False, "{what}: {why}."),
    "cursor_unknown": (
        400,
        False,
        "The cursor is not one that this list gave. Start again without 'after'.",
    ),
    "changed_meanwhile": (
        412,
        False,
        "The {what} has changed since you read it; its ETag is {etag} now. Read it again and decide anew.",
    ),
    "too_many_streams": (
        429,
        True,
        "There are {most} event streams open for this key already. Close one, or let one carry more.",
    ),
    "connector_disabled": (409, True, "The connector is disabled. Enable it first."),
    "not_signed_in": (
        401,
        False,
        "Sign in, or send a valid API key of this site or hub as 'Authorization: Bearer ...'.",
    ),
    "forbidden": (403, False, "You may not do this: {why}."),
    "unknown_refusal": (
        502,
        True,
        "The other side refused with '{code_there}', which this release does not know. Upgrade the older of the two.",
    ),
    "no_route": (503, True, "There is no way to the other site at the moment."),
    "call_timed_out": (504, True, "The other site did not answer in time."),
    "answer_unreadable": (
        502,
        True,
        "What the other site answered cannot be read by this release. Upgrade the older of the two.",
    ),
    "storage_failed": (507, True, "The disk refused to store this: {why}. Nothing of it was kept."),
    "hub_storage_failed": (
        507,
        True,
        "The hub's disk refuses to store this. Tell the hub's operator; it is told again until it is stored.",
    ),
}


class Refused(PairhubError):
    """A normal *no* with a stable code of `REFUSALS` and the facts its sentence names."""

    def __init__(self, code: str, **facts: object) -> None:
        if code not in REFUSALS:
            raise Misuse(f"unknown refusal code {code!r}")
        super().__init__(code)
        self.code = code
        self.facts = facts

    @property
    def status(self) -> int:
        """The HTTP status that fits."""
        return REFUSALS[self.code][0]

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without anybody changing it."""
        return REFUSALS[self.code][1]

    def __str__(self) -> str:
        facts = {name: str(value) for name, value in self.facts.items()}
        return REFUSALS[self.code][2].format_map(_Missing(facts))


def refused_there(code: str, facts: Mapping[str, str]) -> Refused:
    """Return a refusal that the other side sent; codes of a newer release, and hostile facts, make no trouble here."""
    if code not in REFUSALS:
        return Refused("unknown_refusal", code_there=code[:64])
    return Refused(code, **{name: value[:200] for name, value in facts.items() if name not in ("self", "code")})


class _Missing(dict[str, str]):
    """Leaves a visible mark where a fact was not given (facts may come from a foreign peer, who may omit them)."""

    def __missing__(self, key: str) -> str:
        return "?"
