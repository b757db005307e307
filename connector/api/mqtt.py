"""MQTT subscriptions of a connector: settings, how each stands, and trying settings out."""

from __future__ import annotations

from typing import Final

import msgspec

from connector.api.operations import ONE, Call, Operation
from connector.api.paging import Page
from connector.ingest.mqtt_desk import Trial
from connector.ingest.mqtt_reader import ReaderStatus, RefusedMessage
from connector.ingest.mqtt_rows import Subscription
from connector.ingest.mqtt_settings import CA_CHARS_MAX, MqttSettings

_BODY_BYTES_MAX: Final = CA_CHARS_MAX + 64 * 1024


class MqttWish(MqttSettings, frozen=True, forbid_unknown_fields=True):
    """Settings as they are sent: with the password, which no answer repeats. Without one, the stored one stays."""

    password: str | None = None

    def settings(self) -> MqttSettings:
        """Return the settings without the password."""
        return MqttSettings(**{name: getattr(self, name) for name in MqttSettings.__struct_fields__})


class MqttStatus(msgspec.Struct, frozen=True):
    """What a subscription has done since this start."""

    state: str
    since_ms: int
    why: str
    next_attempt_ms: int | None
    last_message_ms: int | None
    messages: int
    accepted: int
    repeated: int
    refused: int
    ignored: int
    dropped: int
    last_refusals: list[RefusedMessage]


class MqttShown(msgspec.Struct, frozen=True):
    """A subscription: settings, whether a password is stored, and how it stands."""

    subscription_id: str
    settings: MqttSettings
    has_password: bool
    filters: list[str]
    status: MqttStatus


def shown(subscription: Subscription, status: ReaderStatus) -> MqttShown:
    """Return a subscription as it may be shown."""
    stands = MqttStatus(
        **{
            name: getattr(status, name)
            for name in MqttStatus.__struct_fields__
            if name not in ("state", "last_refusals")
        },
        state=status.state.value,
        last_refusals=list(status.last_refusals),
    )
    settings = subscription.settings
    return MqttShown(subscription.subscription_id, settings, bool(subscription.password), settings.filters(), stands)


def _shown(call: Call, subscription: Subscription) -> MqttShown:
    return shown(subscription, call.site.mqtt.status(subscription.subscription_id))


async def list_subscriptions(call: Call) -> Page[MqttShown]:
    """Return all, oldest first."""
    call.site.runtime(call.connector_id)
    return Page([_shown(call, one) for one in await call.site.mqtt.subscriptions(call.connector_id)], None)


async def get_subscription(call: Call) -> MqttShown:
    """Return one."""
    return _shown(call, await call.site.mqtt.subscription(call.connector_id, call.named("subscription_id")))


async def create_subscription(call: Call) -> MqttShown:
    """Store one and start it."""
    call.site.runtime(call.connector_id)
    wish = await call.body(MqttWish, _BODY_BYTES_MAX)
    return _shown(call, await call.site.mqtt.create(call.connector_id, wish.settings(), wish.password or ""))


async def change_subscription(call: Call) -> MqttShown:
    """Store other settings and go on with them."""
    wish = await call.body(MqttWish, _BODY_BYTES_MAX)
    subscription_id = call.named("subscription_id")
    return _shown(call, await call.site.mqtt.change(call.connector_id, subscription_id, wish.settings(), wish.password))


async def delete_subscription(call: Call) -> None:
    """Delete one, with its session at the broker."""
    await call.site.mqtt.delete(call.connector_id, call.named("subscription_id"))


async def try_settings(call: Call) -> Trial:
    """Try settings that are not stored."""
    call.site.runtime(call.connector_id)
    wish = await call.body(MqttWish, _BODY_BYTES_MAX)
    return await call.site.mqtt.try_out(call.connector_id, wish.settings(), wish.password or "")


async def try_subscription(call: Call) -> Trial:
    """Try one as it is stored, beside the connection that is in use."""
    found = await call.site.mqtt.subscription(call.connector_id, call.named("subscription_id"))
    return await call.site.mqtt.try_out(call.connector_id, found.settings, found.password)


_ALL: Final = ONE + "/mqtt"
_ONE: Final = _ALL + "/{subscription_id}"

OPERATIONS: Final = (
    Operation(
        "GET", _ALL, "read", "List MQTT subscriptions and how they stand", list_subscriptions, answer=Page[MqttShown]
    ),
    Operation(
        "POST",
        _ALL,
        "manage",
        "Subscribe at an MQTT broker",
        create_subscription,
        body=MqttWish,
        answer=MqttShown,
        errors=("exists", "target_not_writable"),
    ),
    Operation(
        "POST",
        _ALL + "/test",
        "manage",
        "Try MQTT settings and wait a moment for a message",
        try_settings,
        body=MqttWish,
        answer=Trial,
    ),
    Operation("GET", _ONE, "read", "One MQTT subscription", get_subscription, answer=MqttShown),
    Operation(
        "PUT",
        _ONE,
        "manage",
        "Change an MQTT subscription; without a password the stored one stays",
        change_subscription,
        body=MqttWish,
        answer=MqttShown,
        errors=("exists",),
    ),
    Operation("DELETE", _ONE, "manage", "Delete an MQTT subscription", delete_subscription),
    Operation(
        "POST", _ONE + "/test", "manage", "Try an MQTT subscription as it is stored", try_subscription, answer=Trial
    ),
)
