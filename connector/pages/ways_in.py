"""Ways in (page 7 of issue 3): HTTP and replay as lines to copy, this machine, and MQTT subscriptions as a list.

At a target there are none: its readings come from the source, which the page names (G19, W11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.ingest.mqtt_reader import ReaderStatus
from connector.ingest.mqtt_rows import Subscription
from connector.pages.frame import Desk, Parts, Visit, done, frame_parts
from connector.pages.post_examples import KEY_VARIABLE, lines_of_forms, readings_url, replay_line, sample_of
from connector.pages.situation import Situation
from shared.errors import Refused
from shared.limits import SECOND_MS
from web import contexts as c
from web import paths

STREAM: Final = "page=ways_in"
_HOST_EVERY_S: Final = 5.0


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await _page(visit, await visit.look()))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries: the frame and the list, so that nobody's typing is replaced."""
    seen = await visit.look()
    frame = frame_parts(await visit.shell(c.Section.WAYS_IN, seen))
    return frame if seen.role is c.Role.TARGET else (*frame, await _list(visit))


async def _page(visit: Visit, seen: Situation, host: c.HostWay | None = None) -> c.WaysInPage:
    shell = await visit.shell(c.Section.WAYS_IN, seen, stream=STREAM)
    if seen.role is c.Role.TARGET:
        source = seen.pair.peer_site_name if seen.pair is not None else ""
        return c.WaysInPage(shell, visit.connector_id, source or "its source")
    return c.WaysInPage(
        shell=shell,
        connector_id=visit.connector_id,
        http=await _http(visit, seen),
        host=host or _host(await visit.site.host.every_s(visit.connector_id)),
        mqtt=await _list(visit),
        can_edit=visit.may("manage"),
    )


async def _http(visit: Visit, seen: Situation) -> c.HttpWay:
    id_ = visit.connector_id
    sample = await visit.site.database.read(lambda connection: sample_of(connection, id_))
    url = readings_url(visit.request, id_)
    return c.HttpWay(
        url=url,
        examples=lines_of_forms(url, sample),
        replay_line=replay_line(visit.request, id_, sample),
        key_variable=KEY_VARIABLE,
        creates_devices=seen.connector.creates_devices,
        has_device=sample.has_device,
        has_resource=sample.has_resource,
    )


# --- this machine -----------------------------------------------------------------------------------------------------


def _host(every_s: float) -> c.HostWay:
    return c.HostWay(every_s > 0, f"{every_s or _HOST_EVERY_S:g}")


async def save_host(visit: Visit) -> Response:
    """Report this machine, at another interval, or not any more."""
    typed = await visit.form()
    try:
        every_s = _interval(typed)
        await visit.site.host.set(visit.connector_id, every_s)
    except Refused as refused:
        if refused.code != "invalid":
            raise
        words = str(Refused("invalid", what="Every", why=refused.facts["why"]))
        host = c.HostWay(True, typed.get("every_s", "")[:40], {"every_s": words})
        return visit.respond(await _page(visit, await visit.look(), host), refused.status)
    words = f"This machine is reported every {every_s:g} s." if every_s else "This machine is not reported any more."
    return visit.redirect(_url(visit), done(words))


def _interval(typed: Mapping[str, str]) -> float:
    if typed.get("is_on") != "on":
        return 0.0
    try:
        every_s = float(typed.get("every_s", ""))
    except ValueError:
        raise Refused("invalid", what="Every", why="it is a number of seconds") from None
    if not every_s:
        raise Refused("invalid", what="Every", why="it takes 0.1 to 3600 seconds; switch it off for none")
    return every_s


# --- MQTT -------------------------------------------------------------------------------------------------------------


async def _list(visit: Visit) -> c.MqttList:
    found = await visit.site.mqtt.subscriptions(visit.connector_id)
    rows = tuple(mqtt_row(each, visit.site.mqtt.status(each.subscription_id), visit.now_ms) for each in found)
    return c.MqttList(visit.connector_id, rows, can_edit=visit.may("manage"))


def mqtt_row(subscription: Subscription, status: ReaderStatus, now_ms: int) -> c.MqttRow:
    """Return a subscription as pages show it."""
    settings = subscription.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    retry_in_s = None if status.next_attempt_ms is None else max(0, status.next_attempt_ms - now_ms) / SECOND_MS
    standing = c.MqttStanding(
        state=c.MqttState(status.state.value),
        since_ms=status.since_ms,
        why=status.why,
        retry_in_s=retry_in_s,
        last_message_ms=status.last_message_ms,
        message_count=status.messages,
        accepted_count=status.accepted,
        repeated_count=status.repeated,
        refused_count=status.refused,
        ignored_count=status.ignored,
        dropped_count=status.dropped,
        refusals=tuple(
            c.MqttRefusal(each.at_ms, each.topic, each.message) for each in reversed(tuple(status.last_refusals))
        ),
    )
    filters = tuple(settings.filters())
    return c.MqttRow(
        subscription.subscription_id, settings.name, f"{host}:{settings.port}", settings.tls, filters, standing
    )


def _url(visit: Visit) -> str:
    return paths.fill(paths.WAYS_IN, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["ways_in"] = lambda: parts
    return [desk.show(paths.WAYS_IN, show), desk.act(paths.HOST_DEVICE, save_host, "manage")]
