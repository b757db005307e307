"""MQTT subscriptions in SQLite. Verbs run in the caller's transaction; the password leaves only towards the broker."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass

import msgspec

from connector.ingest.mqtt_settings import MqttSettings
from shared.errors import Refused
from shared.limits import MQTT_SUBSCRIPTIONS_MAX


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is stored. `former` are filters that the broker's session may still hold."""

    subscription_id: str
    connector_id: str
    settings: MqttSettings
    password: str
    former: tuple[str, ...] = ()


_log = logging.getLogger(__name__)
_COLUMNS = "subscription_id, connector_id, settings, password, former"


def list_subscriptions(connection: sqlite3.Connection, connector_id: str | None = None) -> list[Subscription]:
    """Return the subscriptions of a connector, or of all, oldest first; but those that the disk damaged."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM mqtt_subscription WHERE ?1 IS NULL OR connector_id = ?1"  # noqa: S608  # names of ours
        " ORDER BY created_ms, subscription_id",
        (connector_id,),
    )
    return [subscription for row in rows if (subscription := _readable(row)) is not None]


def get_subscription(connection: sqlite3.Connection, connector_id: str, subscription_id: str) -> Subscription:
    """Return one; raises Refused('not_found')."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM mqtt_subscription WHERE connector_id = ? AND subscription_id = ?",  # noqa: S608
        (connector_id, subscription_id),
    ).fetchone()
    if row is None:
        raise Refused("not_found", what="MQTT subscription")
    return _subscription(row)


def add_subscription(connection: sqlite3.Connection, subscription: Subscription, now_ms: int) -> None:
    """Store a new one; raises Refused('invalid', 'exists', 'target_not_writable')."""
    connector = connection.execute(
        "SELECT role, peer_site_name FROM connector LEFT JOIN pair USING (connector_id) WHERE connector_id = ?",
        (subscription.connector_id,),
    ).fetchone()
    if connector is None:
        raise Refused("not_found", what="connector")
    if connector[0] == "target":
        raise Refused("target_not_writable", source=connector[1] or "its source")
    others = list_subscriptions(connection, subscription.connector_id)
    if len(others) >= MQTT_SUBSCRIPTIONS_MAX:
        raise Refused("invalid", what="MQTT", why=f"a connector takes at most {MQTT_SUBSCRIPTIONS_MAX} subscriptions")
    _check_name(others, subscription)
    connection.execute(
        "INSERT INTO mqtt_subscription (subscription_id, connector_id, settings, password, former, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (*_values(subscription), now_ms),
    )


def replace_subscription(connection: sqlite3.Connection, subscription: Subscription) -> None:
    """Store other settings of one that is there; raises Refused('exists', 'not_found')."""
    get_subscription(connection, subscription.connector_id, subscription.subscription_id)
    _check_name(list_subscriptions(connection, subscription.connector_id), subscription)
    subscription_id, connector_id, *rest = _values(subscription)
    connection.execute(
        "UPDATE mqtt_subscription SET settings = ?, password = ?, former = ?"
        " WHERE subscription_id = ? AND connector_id = ?",
        (*rest, subscription_id, connector_id),
    )


def leave_former(connection: sqlite3.Connection, subscription_id: str) -> None:
    """Note that the broker's session holds no filters of earlier settings any more."""
    connection.execute("UPDATE mqtt_subscription SET former = '[]' WHERE subscription_id = ?", (subscription_id,))


def delete_subscription(connection: sqlite3.Connection, connector_id: str, subscription_id: str) -> None:
    """Delete one; raises Refused('not_found')."""
    get_subscription(connection, connector_id, subscription_id)
    connection.execute("DELETE FROM mqtt_subscription WHERE subscription_id = ?", (subscription_id,))


def _check_name(others: list[Subscription], subscription: Subscription) -> None:
    for other in others:
        if other.subscription_id != subscription.subscription_id and other.settings.name == subscription.settings.name:
            raise Refused("exists", what="MQTT subscription")


def _readable(row: sqlite3.Row) -> Subscription | None:
    """Return a subscription; None, and a line in the log, where it cannot be read: the others are served all the same."""
    try:
        return _subscription(row)
    except (msgspec.DecodeError, UnicodeError) as error:
        _log.error("an MQTT subscription cannot be read: %s", error, extra={"connector": row[1]})
        return None


def _subscription(row: sqlite3.Row) -> Subscription:
    settings = msgspec.json.decode(row[2], type=MqttSettings)
    return Subscription(row[0], row[1], settings, row[3], tuple(msgspec.json.decode(row[4], type=list[str])))


def _values(subscription: Subscription) -> tuple[str, str, str, str, str]:
    return (
        subscription.subscription_id,
        subscription.connector_id,
        msgspec.json.encode(subscription.settings).decode(),
        subscription.password,
        msgspec.json.encode(subscription.former).decode(),
    )
