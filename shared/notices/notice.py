"""A notice: repairs that were raised or cleared, as JSON for a webhook and as text for e-mail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from shared.core.repairs import Repair
from shared.errors import PairhubError
from shared.limits import NOTICE_REPAIRS_MAX


class NoticeFailed(PairhubError):
    """A notice was not taken; `why` is for people and holds no secret and no address."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NoticedRepair(msgspec.Struct, frozen=True):
    """A repair in a notice. `scope` is the connector's ID, empty for the whole site or hub; times are ms since 1970."""

    code: str
    scope: str
    subject: str
    urgent: bool
    title: str
    cause: str
    means: str
    fix: str
    since_ms: int
    cleared_ms: int | None = None


class Notice(msgspec.Struct, frozen=True):
    """What is told: `type` is `repairs` or `test`. `left_out` counts repairs beyond NOTICE_REPAIRS_MAX.

    `site` and `site_id` are name and ID of the site, or, where `place` is `hub`, the hub's name and its public key.
    """

    id: str
    type: Literal["repairs", "test"]
    at_ms: int
    site: str
    site_id: str
    url: str
    raised: list[NoticedRepair] = []
    cleared: list[NoticedRepair] = []
    left_out: int = 0
    place: Literal["site", "hub"] = "site"


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose repairs are told; `url` is the page that shows them, empty where it is not known."""

    place: Literal["site", "hub"]
    name: str
    id: str
    url: str


class Channel(Protocol):
    """One way out."""

    @property
    def name(self) -> str:
        """What people call it: `webhook` or `e-mail`."""
        ...

    async def deliver(self, notice: Notice) -> None:
        """Deliver it once; raises NoticeFailed."""
        ...


def trial_notice(notice_id: str, *, at_ms: int, sender: Sender) -> Notice:
    """Make a notice that only proves its way out."""
    return Notice(notice_id, "test", at_ms, sender.name, sender.id, sender.url, place=sender.place)


def repairs_notice(
    notice_id: str, *, at_ms: int, sender: Sender, raised: Sequence[Repair], cleared: Sequence[Repair]
) -> Notice:
    """Make the notice of repairs, the raised first."""
    told = [*raised[:NOTICE_REPAIRS_MAX]]
    over = cleared[: max(0, NOTICE_REPAIRS_MAX - len(told))]
    return Notice(
        notice_id,
        "repairs",
        at_ms,
        sender.name,
        sender.id,
        sender.url,
        [noticed(repair) for repair in told],
        [noticed(repair) for repair in over],
        len(raised) + len(cleared) - len(told) - len(over),
        sender.place,
    )


def noticed(repair: Repair) -> NoticedRepair:
    """Return a repair in words."""
    finding = repair.finding
    return NoticedRepair(
        finding.code,
        finding.scope,
        finding.subject,
        repair.is_urgent,
        repair.title,
        repair.cause,
        repair.means,
        repair.fix,
        repair.since_ms,
        repair.cleared_ms,
    )


def subject_line(notice: Notice) -> str:
    """Return what stands in the list of mails, on one line whatever names hold."""
    if notice.type == "test":
        text = f"[{notice.site}] Test notice"
    else:
        first = (notice.raised or notice.cleared)[0]
        word = "Cleared: " if not notice.raised else "URGENT: " if first.urgent else ""
        more = len(notice.raised) + len(notice.cleared) + notice.left_out - 1
        text = f"[{notice.site}] {word}{first.title}" + (f" and {more} more" if more else "")
    return " ".join(text.split())


def notice_text(notice: Notice) -> str:
    """Return the notice for people."""
    if notice.type == "test":
        lines = [f"This is a test notice of the {notice.place} '{notice.site}'. Repairs would be told here."]
    else:
        lines = [line for repair in notice.raised for line in _raised(repair)]
        lines += [line for repair in notice.cleared for line in _cleared(repair)]
        if notice.left_out:
            lines.append(f"... and {notice.left_out} more.")
    if notice.url:
        lines += ["", f"All repairs: {notice.url}"]
    return (
        "\n".join(
            [*lines, "", f"{notice.place.capitalize()} '{notice.site}' ({notice.site_id}), {_time(notice.at_ms)}."]
        )
        + "\n"
    )


def _raised(repair: NoticedRepair) -> list[str]:
    where = f" (connector {repair.scope})" if repair.scope else ""
    return [
        f"{'URGENT: ' if repair.urgent else ''}{repair.title}{where}",
        f"  {repair.cause}",
        f"  {repair.means}",
        f"  What to do: {repair.fix}",
        f"  Since {_time(repair.since_ms)}.",
        "",
    ]


def _cleared(repair: NoticedRepair) -> list[str]:
    where = f" (connector {repair.scope})" if repair.scope else ""
    until = f" to {_time(repair.cleared_ms)}" if repair.cleared_ms is not None else ""
    return [f"Cleared: {repair.title}{where}", f"  From {_time(repair.since_ms)}{until}.", ""]


def utc(at_ms: int) -> dt.datetime:
    """Return a time in ms since 1970 as Python has it."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _time(at_ms: int) -> str:
    return utc(at_ms).strftime("%Y-%m-%d %H:%M:%S UTC")
