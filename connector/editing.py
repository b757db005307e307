"""Edits of everything a device has, from either side (W8, W12, G11 to G13, G18, G19). `site.editing` is one.

Every method takes `who`: the person or API key that the history of changes names. What is edited here is applied here
and queued for the other side in one transaction; a connector without a partner keeps it until it has one.

    create_devices(connector_id, new: Sequence[NewDevice], *, who) -> Edited
    create_reported(connector_id, identities)
    delete_devices(connector_id, identities, *, who) -> Edited
    rename(connector_id, identity, name, description, *, who)
    lock(connector_id, identities, *, locked, who) -> Edited
    set_configuration(connector_id, identity, configuration: str, *, who)
    add_tags / remove_tags(connector_id, identities, tags: [(name, value)], *, who) -> Edited
    set_grant(connector_id, identities | None, subject: Subject, grant: Grant, *, who) -> Edited
    remove_grant(connector_id, identities | None, subject, *, who) -> Edited        None: all devices of the connector
    add_publish_as / remove_publish_as(connector_id, identity, pattern, *, who)
    set_value(connector_id, identity, alias, value, *, who)
    set_policy(connector_id, class_name, policy, *, who)            policies(connector_id) -> {class: policy}
    set_peer_rights(connector_id, {right: allowed}, *, who)         peer_rights(connector_id) -> PeerRights
    restore_conflict / dismiss_conflict(connector_id, conflict_id, *, who)
    dismiss_refused(connector_id, identity)
    create_there(connector_id, alias, *, who) -> request ID

Methods on many devices do what they can and say per device what was refused (`Edited.refused`); methods on one raise
Refused. Questions (changes, conflicts, grants, patterns, requests) stand in connector/edit_queries.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connector import connectors, edit_queries, edit_rows
from connector.catalogue import Catalogue
from connector.device_edits import DeviceEdits, NewDevice
from connector.runtime import ConnectorRuntime
from connector.streams import Streams
from shared.clock import Clock
from shared.core.edits import Edit, Edits
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.core.fields import CONNECTOR_OBJECT, Grant, Subject, json_text, known_class, policy_field
from shared.core.judge import PeerRights
from shared.database_connections import Unit
from shared.errors import Refused
from shared.limits import BULK_DEVICES_MAX
from shared.sealing import Side

T = TypeVar("T")
# Devices in one unit of work: about a tenth of a second, in which nobody else writes.
_BITE_DEVICES = 200
# Makes edits inside the unit of work that stores them; returns them with the caller's result.
Plan = Callable[[Streams], tuple[Sequence[Edit], T]]


@dataclass(slots=True)
class Edited:
    """What became of an edit of many devices: fields changed, and what was refused, by identity."""

    changed: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)


class Editing:
    """The way in for edits of all connectors of a site."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        clock: Clock,
        runtime: Callable[[str], ConnectorRuntime],
        write: Callable[[Unit[Any]], Awaitable[Any]],
        read: Callable[[Unit[Any]], Awaitable[Any]],
        site_id: Callable[[], str],
        ring: Callable[[str, str], None],
    ) -> None:
        """`write` and `read` run units of work, `ring` tells pages: all of the site's."""
        self._catalogue = catalogue
        self._clock = clock
        self._runtime = runtime
        self._write = write
        self._read = read
        self._site_id = site_id
        self._ring = ring

    # --- the one way in -----------------------------------------------------------------------------------------------

    async def apply(self, connector_id: str, plan: Plan[T], *, who: str) -> tuple[int, T]:
        """Make edits with `plan` and apply them, in one unit of work; return (fields changed, the plan's result)."""
        runtime = self._runtime(connector_id)
        if runtime.runner is not None:

            def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[tuple[int, T], list[Effect]]:
                edits, result = plan(store)
                return (len(engine.edit(store, edits, now_ms, who=who)), result), []

            done = await runtime.runner.run(work)
        else:
            done = await self._write(lambda connection: self._alone(connection, connector_id, plan, who))
        self._ring(connector_id, "devices")
        return done

    def _alone(self, connection: sqlite3.Connection, connector_id: str, plan: Plan[T], who: str) -> tuple[int, T]:
        store = Streams(connection, connector_id, self._catalogue)
        target = connectors.get_connector(connection, connector_id).role == "target"
        edits = Edits(Side.TARGET if target else Side.SOURCE, self._site_id())
        wanted, result = plan(store)
        made = edits.edit(store, wanted, who=who, now_ms=self._clock.wall_ms(), queue=None)
        return len(made), result

    async def _one(self, connector_id: str, plan: Callable[[DeviceEdits], list[Edit]], who: str) -> int:
        changed, _ = await self.apply(
            connector_id, lambda store: (plan(DeviceEdits(store.connection, connector_id)), None), who=who
        )
        return changed

    async def _many(
        self, connector_id: str, identities: Iterable[str], plan: Callable[[DeviceEdits, str], list[Edit]], who: str
    ) -> Edited:
        names = list(dict.fromkeys(identities))
        return await self._each(connector_id, [(name, name) for name in names], plan, who)

    async def _each(
        self, connector_id: str, of: Sequence[tuple[str, T]], plan: Callable[[DeviceEdits, T], list[Edit]], who: str
    ) -> Edited:
        """Edit devices, each (identity, what the plan wants to know), in bites that let others write in between."""
        if len(of) > BULK_DEVICES_MAX:
            raise Refused("too_many_devices", most=BULK_DEVICES_MAX)
        whole = Edited()
        for at in range(0, len(of), _BITE_DEVICES):
            bite = of[at : at + _BITE_DEVICES]

            def some(store: Streams, bite: Sequence[tuple[str, T]] = bite) -> tuple[list[Edit], dict[str, Refused]]:
                made = DeviceEdits(store.connection, connector_id)
                edits: list[Edit] = []
                refused: dict[str, Refused] = {}
                for identity, wanted in bite:
                    try:
                        edits += plan(made, wanted)
                    except Refused as error:
                        refused[identity] = error
                return edits, refused

            changed, refused = await self.apply(connector_id, some, who=who)
            whole.changed += changed
            whole.refused |= refused
        return whole

    # --- devices ------------------------------------------------------------------------------------------------------

    async def create_devices(self, connector_id: str, new: Sequence[NewDevice], *, who: str) -> Edited:
        """Add devices; those that are there already, or are malformed, are refused one by one."""
        named: dict[str, NewDevice] = {}
        twice: dict[str, Refused] = {}
        for device in new:
            if device.identity.strip() in named:
                twice[device.identity] = Refused("exists", what="device")
            else:
                named[device.identity.strip()] = device
        wanted = [(device.identity, device) for device in named.values()]
        edited = await self._each(connector_id, wanted, lambda made, device: made.creation(device), who)
        edited.refused = twice | edited.refused
        return edited

    async def create_reported(self, connector_id: str, identities: Iterable[str], *, who: str = "") -> None:
        """Add devices that readings name and nobody has made; those that are there, or cannot be, are left alone."""
        await self.create_devices(connector_id, [NewDevice(identity=name) for name in identities], who=who)

    async def delete_devices(self, connector_id: str, identities: Iterable[str], *, who: str) -> Edited:
        """Delete devices with tags, grants, state and history, at both sides."""
        return await self._many(connector_id, identities, lambda made, name: made.deletion(name), who)

    async def rename(self, connector_id: str, identity: str, name: str, description: str, *, who: str) -> None:
        """Change a device's name and description; raises Refused('not_found', 'invalid')."""
        await self._one(connector_id, lambda made: made.naming(identity, name, description), who)

    async def lock(self, connector_id: str, identities: Iterable[str], *, locked: bool, who: str) -> Edited:
        """Lock or unlock devices: nothing is taken from a locked one."""
        return await self._many(connector_id, identities, lambda made, name: made.locking(name, locked=locked), who)

    async def set_configuration(self, connector_id: str, identity: str, configuration: str, *, who: str) -> None:
        """Set a device's configuration, the text of a JSON object; raises Refused('not_found', 'invalid')."""
        await self._one(connector_id, lambda made: made.configuring(identity, configuration), who)

    async def add_tags(
        self, connector_id: str, identities: Iterable[str], tags: Sequence[tuple[str, str]], *, who: str
    ) -> Edited:
        """Add (name, value) tags to devices."""
        return await self._many(connector_id, identities, lambda made, name: made.tagging(name, tags), who)

    async def remove_tags(
        self, connector_id: str, identities: Iterable[str], tags: Sequence[tuple[str, str]], *, who: str
    ) -> Edited:
        """Take (name, value) tags from devices."""
        return await self._many(connector_id, identities, lambda made, name: made.untagging(name, tags), who)

    # --- permissions --------------------------------------------------------------------------------------------------

    async def set_grant(
        self, connector_id: str, identities: Iterable[str] | None, subject: Subject, grant: Grant, *, who: str
    ) -> Edited:
        """Let a user or group do something with devices, or with all of the connector (None; raises Refused then)."""
        if identities is None:
            return Edited(await self._one(connector_id, lambda made: made.granting(None, subject, grant), who))
        return await self._many(connector_id, identities, lambda made, name: made.granting(name, subject, grant), who)

    async def remove_grant(
        self, connector_id: str, identities: Iterable[str] | None, subject: Subject, *, who: str
    ) -> Edited:
        """Take a grant away, from devices or from all of the connector (None)."""
        if identities is None:
            return Edited(await self._one(connector_id, lambda made: made.ungranting(None, subject), who))
        return await self._many(connector_id, identities, lambda made, name: made.ungranting(name, subject), who)

    async def add_publish_as(self, connector_id: str, identity: str, pattern: str, *, who: str) -> None:
        """Let a gateway report for devices that fit a pattern; raises Refused('not_found', 'invalid', 'too_many')."""
        await self._one(connector_id, lambda made: made.publishing_as(identity, pattern), who)

    async def remove_publish_as(self, connector_id: str, identity: str, pattern: str, *, who: str) -> None:
        """Take a publish-as pattern from a gateway; raises Refused('not_found')."""
        await self._one(connector_id, lambda made: made.not_publishing_as(identity, pattern), who)

    # --- values -------------------------------------------------------------------------------------------------------

    async def set_value(self, connector_id: str, identity: str, alias: str, value: Any, *, who: str) -> None:
        """Set a value for a resource of a device (G19), at either side; the source judges.

        Raises Refused('not_found', 'unknown_resource', 'not_settable', 'wrong_format', 'not_allowed') where this side can
        tell already; else the device shows `refused` once the source has said so.
        """

        def plan(store: Streams) -> tuple[list[Edit], None]:
            role = connectors.get_connector(store.connection, connector_id).role
            side = Side.TARGET if role == "target" else Side.SOURCE
            known = store.definitions() if side is Side.SOURCE else store.peer_definitions() or []
            definition = next((one for one in known if one.alias == alias), None)
            made = DeviceEdits(store.connection, connector_id)
            return made.setting(identity, alias, value, definition, side), None

        await self.apply(connector_id, plan, who=who)

    # --- conflicts ----------------------------------------------------------------------------------------------------

    async def set_policy(self, connector_id: str, class_name: str, policy: str, *, who: str) -> None:
        """Choose what decides conflicts of a class at both sides: newer, source or target; raises Refused('invalid')."""
        kind = known_class(class_name)
        if policy not in ("newer", "source", "target"):
            raise Refused("invalid", what="Policy", why="it is newer, source or target")
        edit: Edit = (CONNECTOR_OBJECT, policy_field(kind), json_text(policy))
        await self.apply(connector_id, lambda _store: ([edit], None), who=who)

    async def restore_conflict(self, connector_id: str, conflict_id: int, *, who: str) -> None:
        """Let what lost a conflict stand again, as a new edit, and settle it; raises Refused('not_found')."""

        def plan(store: Streams) -> tuple[list[Edit], None]:
            row = edit_queries.open_conflict(store.connection, connector_id, conflict_id)
            now_ms = self._clock.wall_ms()
            edit_rows.close_conflict(store.connection, connector_id, conflict_id, "restored", who, now_ms)
            return [(row.object, row.field, row.lost)], None

        await self.apply(connector_id, plan, who=who)

    async def dismiss_conflict(self, connector_id: str, conflict_id: int, *, who: str) -> None:
        """Settle a conflict as it is, here; raises Refused('not_found')."""
        now_ms = self._clock.wall_ms()

        def unit(connection: sqlite3.Connection) -> None:
            edit_queries.open_conflict(connection, connector_id, conflict_id)
            edit_rows.close_conflict(connection, connector_id, conflict_id, "dismissed", who, now_ms)

        await self._write(unit)
        self._ring(connector_id, "devices")

    async def dismiss_refused(self, connector_id: str, identity: str) -> None:
        """Put away that the other side refused edits of a device; they stay in its history."""
        await self._write(lambda c: edit_rows.dismiss_refused(c, connector_id, identity))
        self._ring(connector_id, "devices")

    async def policies(self, connector_id: str) -> dict[str, str]:
        """Return the conflict policy of each class."""
        return await self._read(lambda c: edit_queries.policies(c, connector_id))  # type: ignore[no-any-return]

    # --- the partner --------------------------------------------------------------------------------------------------

    async def peer_rights(self, connector_id: str) -> PeerRights:
        """Return what this connector lets its partner do."""
        return await self._read(lambda c: edit_rows.peer_rights(c, connector_id))  # type: ignore[no-any-return]

    async def set_peer_rights(self, connector_id: str, named: Mapping[str, bool], *, who: str) -> None:
        """Give or take the named rights of this connector's partner (G18), for edits that arrive from now on.

        Raises Refused('not_paired'): before there is a partner, taking rights away would undo what it brings along.
        """
        if self._runtime(connector_id).runner is None:
            raise Refused("not_paired")
        now_ms = self._clock.wall_ms()
        site_id = self._site_id()
        await self._write(lambda c: edit_rows.change_peer_rights(c, connector_id, named, who, site_id, now_ms))
        self._ring(connector_id, "devices")

    async def create_there(self, connector_id: str, alias: str, *, who: str) -> str:
        """Ask the other side to make a resource as it is here (W9); return the request, which `requests` follows.

        Raises Refused('not_paired', 'not_found').
        """
        runner = self._runtime(connector_id).runner
        if runner is None:
            raise Refused("not_paired")

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[str, list[Effect]]:
            definition = next((one for one in store.definitions() if one.alias == alias), None)
            if definition is None:
                raise Refused("not_found", what="resource")
            request_id = engine.ask_for_resource(store, definition, now_ms, who=who)
            edit_rows.add_request(store.connection, connector_id, request_id, alias, who, now_ms)
            return request_id, []

        request_id = await runner.run(work)
        self._ring(connector_id, "resources")
        return request_id


__all__ = ["Edited", "Editing", "Grant", "NewDevice", "PeerRights", "Subject"]
