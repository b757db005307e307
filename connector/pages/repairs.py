"""What needs a person, each with its fix (PAGES, 12): worked out from the state of now, so a repair ends by itself."""

from __future__ import annotations

from collections.abc import Sequence

from connector.connectors import Connector, Pair
from connector.resources import ResourceRow
from connector.runtime import LinkView
from connector.site import Site
from shared.core.completion import PairState
from shared.core.parting import Ask, PartingTalk
from shared.limits import SECOND_MS
from shared.sealing import Side
from web import contexts as c
from web import formats, paths


def site_repairs(site: Site) -> tuple[c.Repair, ...]:
    """Return what is wrong with the site as a whole."""
    found = []
    if site.storage_problem:
        found.append(
            c.Repair(
                "The disk refused to store",
                f"{_sentence(site.storage_problem)} Free space or replace the disk; readings are taken once it stores again.",
                is_urgent=True,
            )
        )
    if site.enrolment.problem:
        found.append(
            c.Repair(
                "This site is not enrolled at its hub",
                f"{_sentence(site.enrolment.problem)} A new token is given to the site with: pairhub enrol.",
                is_urgent=True,
            )
        )
    warning = "" if site.certificate is None else site.certificate.status(site.clock.wall_ms()).warning
    if warning:
        found.append(c.Repair("The certificate of this site needs care", warning))
    if site.guard.in_doubt:
        found.append(
            c.Repair(
                "The clock is in doubt", f"{clock_doubt(site)} Set this machine's clock; until then nothing expires."
            )
        )
    return tuple(found)


def clock_doubt(site: Site) -> str:
    """Say in a sentence why the clock is in doubt; empty where it is not."""
    guard = site.guard
    if not guard.in_doubt:
        return ""
    if guard.jumped_ms:
        way = "forward" if guard.jumped_ms > 0 else "back"
        return f"It jumped {way} by {formats.rough_duration(abs(guard.jumped_ms) / SECOND_MS)}."
    other, off_ms = (
        ("hub", guard.hub_off_ms) if abs(guard.hub_off_ms) > abs(guard.peer_off_ms) else ("peer", guard.peer_off_ms)
    )
    return f"It differs from the {other}'s by {formats.rough_duration(abs(off_ms) / SECOND_MS)}."


# A link that comes back by itself needs nobody; its pill says what it does.
_PASSING = frozenset({c.LinkState.CONNECTING, c.LinkState.RECONNECTING})


def open_repairs(
    site: Site,
    *,
    connector: Connector,
    pair: Pair | None,
    view: LinkView,
    link: c.LinkStatus,
    rows: Sequence[ResourceRow],
    quarantined: int,
    talk: PartingTalk,
) -> tuple[c.Repair, ...]:
    """Return what is wrong with a connector, and with its site, the urgent first."""
    found = list(site_repairs(site))
    connector_id = connector.connector_id
    if view.problem and link.state not in _PASSING and not site.enrolment.problem:
        found.append(_link_repair(connector_id, pair, view, link.since_ms))
    if pair is not None and pair.state is PairState.PAIRED:
        found += [repair for row in rows if (repair := _resource_repair(connector_id, pair, row)) is not None]
        if talk.theirs is not None:
            found.append(_parting_repair(connector_id, pair, talk.theirs))
    if quarantined:
        found.append(
            c.Repair(
                "Something arrived that could not be applied",
                f"{formats.count(quarantined)} arrivals are kept in quarantine; nothing else waits for them.",
            )
        )
    return tuple(sorted(found, key=lambda repair: not repair.is_urgent))


def _link_repair(connector_id: str, pair: Pair | None, view: LinkView, since_ms: int | None) -> c.Repair:
    title = "The link has a problem"
    if pair is None or pair.state is not PairState.PAIRED:
        title = "The pairing did not come to its end" if pair is None else "The pairing is not complete yet"
    url = paths.fill(paths.REMOTE_SYNC, connector_id=connector_id)
    return c.Repair(
        title, _sentence(view.problem), "Open Remote-Sync", url, since_ms if since_ms is not None else view.since_ms
    )


def _parting_repair(connector_id: str, pair: Pair, ask: Ask) -> c.Repair:
    peer = pair.peer_site_name
    text = f"{ask.who or 'Somebody'} at {peer} wants this pair to end. Agree or decline; until then everything flows."
    return c.Repair(f"{peer} asks to part", text, "Answer", paths.fill(paths.PART, connector_id=connector_id))


def _resource_repair(connector_id: str, pair: Pair, row: ResourceRow) -> c.Repair | None:
    peer = pair.peer_site_name
    link = ("Open resources", paths.fill(paths.RESOURCES, connector_id=connector_id))
    if row.match == "missing_there" and row.remote_sync and pair.side is Side.SOURCE:
        text = f"Readings of “{row.alias}” are held back until the same resource exists at {peer}. Create it there."
        return c.Repair(f"Resource missing at {peer}", text, *link)
    if row.match == "missing_here" and row.remote_sync and pair.side is Side.TARGET:
        text = f"{peer} sends “{row.alias}”, which does not exist here. Create the same here, and its readings flow."
        return c.Repair("Resource missing here", text, *link)
    if row.match == "different":
        text = f"“{row.alias}” differs in {', '.join(row.different)}, so its readings are held back. Make both sides equal."
        return c.Repair(f"Resource differs from {peer}'s", text, *link)
    return None


def _sentence(text: str) -> str:
    """Return what an error says as a sentence: errors of libraries begin small and have no full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
