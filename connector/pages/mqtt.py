"""One MQTT subscription of a connector: its settings with what is wrong beside each, how it stands, trying it, deleting it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.ingest.mqtt_desk import Trial
from connector.ingest.mqtt_rows import Subscription
from connector.ingest.mqtt_settings import MqttSettings
from connector.pages.frame import Desk, Parts, Visit, done, frame_parts
from connector.pages.mqtt_forms import (
    FIELDS_MAX,
    field_error,
    read_password,
    read_settings,
    switches_of,
    texts_of,
    typed_switches,
    typed_texts,
)
from connector.pages.resource_rows import plain
from connector.pages.ways_in import mqtt_row
from shared.errors import Refused
from shared.limits import SECOND_MS
from web import contexts as c
from web import paths

_NEW: Final = MqttSettings(name="", host="", template="plant/{device}/{resource}")
_WRONG: Final = frozenset({"invalid", "exists"})


async def show_new(visit: Visit) -> Response:
    """Answer the form of a new subscription."""
    seen = await visit.look()
    if seen.role is c.Role.TARGET:
        return visit.redirect(_list_url(visit))
    return visit.respond(await _page(visit, None, _filled(visit, None, _NEW)))


async def show(visit: Visit) -> Response:
    """Answer one subscription; those who may only look get no form."""
    found = await _found(visit)
    form = _filled(visit, found, found.settings) if visit.may("manage") else None
    return visit.respond(await _page(visit, found, form))


async def parts(visit: Visit) -> Parts:
    """Return what the update stream carries: the frame and how it stands, so that nobody's typing is replaced."""
    frame = frame_parts(await visit.shell(c.Section.WAYS_IN, await visit.look()))
    subscription_id = visit.asked("subscription_id")
    if not subscription_id:
        return frame
    return (*frame, _standing(visit, await visit.site.mqtt.subscription(visit.connector_id, subscription_id)))


async def create(visit: Visit) -> Response:
    """Store a new subscription and start it."""
    typed = await _typed(visit)
    try:
        password = read_password(typed, None)
        made = await visit.site.mqtt.create(visit.connector_id, read_settings(typed), password or "")
    except Refused as refused:
        return await _again(visit, None, typed, refused)
    return visit.redirect(_url(visit, made), done(f"Subscribed as “{made.settings.name}”."))


async def save(visit: Visit) -> Response:
    """Store other settings and go on with them."""
    typed, found = await _typed(visit), await _found(visit)
    try:
        password = read_password(typed, found.password)
        made = await visit.site.mqtt.change(visit.connector_id, found.subscription_id, read_settings(typed), password)
    except Refused as refused:
        return await _again(visit, found, typed, refused)
    return visit.redirect(_url(visit, made), done("Saved, and started with these settings."))


async def try_out(visit: Visit) -> Response:
    """Try what was typed, without storing it; an empty password stands for the stored one."""
    seen, typed = await visit.look(), await _typed(visit)
    if seen.role is c.Role.TARGET:
        raise Refused("target_not_writable", source=seen.pair.peer_site_name if seen.pair else "its source")
    found = None
    if subscription_id := typed.get("subscription_id", ""):
        found = await visit.site.mqtt.subscription(visit.connector_id, subscription_id)
    try:
        password = read_password(typed, found.password if found else None)
        if password is None:
            password = found.password if found else ""
        tried = await visit.site.mqtt.try_out(visit.connector_id, read_settings(typed), password)
    except Refused as refused:
        return await _again(visit, found, typed, refused, was_tried=True)
    return visit.respond(await _page(visit, found, _retyped(visit, found, typed, {}, _trial(tried))))


def _trial(tried: Trial) -> c.MqttTrial:
    return c.MqttTrial(
        was_tried=True,
        problem="" if tried.connected else str(Refused("broker_not_reachable", why=tried.why)),
        topic=tried.topic,
        payload=tried.payload,
        readings=tuple(
            (line.device, line.resource, plain(line.value), _time(line.timestamp)) for line in tried.readings
        ),
        refusal=tried.refusal,
    )


def _time(timestamp: float | str | None) -> str:
    if timestamp is None:
        return "when it arrives"
    if isinstance(timestamp, str):
        return timestamp
    try:
        return datetime.fromtimestamp(timestamp / SECOND_MS, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp:g} ms since 1970"


async def ask_delete(visit: Visit) -> Response:
    """Ask before a subscription is deleted."""
    found = await _found(visit)
    page = c.ConfirmPage(
        shell=await visit.shell(c.Section.WAYS_IN, await visit.look()),
        title=f"Delete the subscription “{found.settings.name}”?",
        text="Its session at the broker goes with it, and with that what waits there.",
        confirm_label="Delete subscription",
        action_url=_url(visit, found, paths.MQTT_DELETE),
        cancel_url=_url(visit, found),
        consequences=("Readings that were accepted stay.",),
        fields={"confirmed": "yes"},
    )
    return visit.respond(page)


async def delete(visit: Visit) -> Response:
    """Delete a subscription, once that was confirmed."""
    found = await _found(visit)
    if (await visit.form()).get("confirmed") != "yes":
        return visit.redirect(_url(visit, found, paths.MQTT_DELETE))
    await visit.site.mqtt.delete(visit.connector_id, found.subscription_id)
    return visit.redirect(_list_url(visit), done(f"The subscription “{found.settings.name}” is deleted."))


# --- what the page is made of -----------------------------------------------------------------------------------------


async def _typed(visit: Visit) -> Mapping[str, str]:
    return {name: values[-1] for name, values in (await visit.form_lists(FIELDS_MAX)).items() if values}


async def _found(visit: Visit) -> Subscription:
    subscription_id = str(visit.request.path_params["subscription_id"])
    return await visit.site.mqtt.subscription(visit.connector_id, subscription_id)


def _standing(visit: Visit, found: Subscription) -> c.MqttStandingCard:
    return c.MqttStandingCard(mqtt_row(found, visit.site.mqtt.status(found.subscription_id), visit.now_ms))


def _filled(visit: Visit, found: Subscription | None, settings: MqttSettings) -> c.MqttForm:
    return c.MqttForm(
        connector_id=visit.connector_id,
        texts=texts_of(settings),
        switched_on=switches_of(settings),
        subscription_id=found.subscription_id if found else "",
        has_password=bool(found and found.password),
    )


def _retyped(
    visit: Visit, found: Subscription | None, typed: Mapping[str, str], errors: c.Errors, trial: c.MqttTrial
) -> c.MqttForm:
    return c.MqttForm(
        connector_id=visit.connector_id,
        texts=typed_texts(typed),
        switched_on=typed_switches(typed),
        subscription_id=found.subscription_id if found else "",
        has_password=bool(found and found.password),
        errors=errors,
        trial=trial,
    )


async def _again(
    visit: Visit, found: Subscription | None, typed: Mapping[str, str], refused: Refused, *, was_tried: bool = False
) -> Response:
    """Show the form again with what is wrong beside its field."""
    if refused.code not in _WRONG:
        raise refused
    errors = field_error(refused)
    trial = c.MqttTrial(was_tried, next(iter(errors.values()))) if was_tried else c.MqttTrial()
    return visit.respond(await _page(visit, found, _retyped(visit, found, typed, errors, trial)), refused.status)


async def _page(visit: Visit, found: Subscription | None, form: c.MqttForm | None) -> c.MqttPage:
    seen = await visit.look()
    stream = f"page=mqtt&subscription_id={found.subscription_id}" if found else "page=mqtt"
    return c.MqttPage(
        shell=await visit.shell(c.Section.WAYS_IN, seen, stream=stream),
        connector_id=visit.connector_id,
        name=found.settings.name if found else "",
        standing=_standing(visit, found) if found else None,
        form=form,
    )


def _url(visit: Visit, found: Subscription, pattern: str = paths.MQTT_ONE) -> str:
    return paths.fill(pattern, connector_id=visit.connector_id, subscription_id=found.subscription_id)


def _list_url(visit: Visit) -> str:
    return paths.fill(paths.WAYS_IN, connector_id=visit.connector_id)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["mqtt"] = lambda: parts
    return [
        desk.show(paths.MQTT_NEW, show_new, "manage"),
        desk.act(paths.MQTT_TEST, try_out, "manage"),
        desk.act(paths.MQTT_ALL, create, "manage"),
        desk.show(paths.MQTT_ONE, show),
        desk.act(paths.MQTT_ONE, save, "manage"),
        desk.show(paths.MQTT_DELETE, ask_delete, "manage"),
        desk.act(paths.MQTT_DELETE, delete, "manage"),
    ]
