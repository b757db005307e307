"""The HTTP API of a site, under /api/v1 (docs/api.md): what the pages can do, for programs.

Answers are JSON. A refusal is `{"code", "message", "facts"}` with the status of shared.errors.REFUSALS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from connector import devices
from connector.access import Access
from connector.connectors import Connector
from connector.lookups import ListQuestion, Origin
from connector.readings import read_time
from connector.resources import NewResource
from connector.site import Site
from connector.status import connector_status, site_status, window_status
from shared.errors import LinkLost, Refused, StorageFailed
from shared.limits import INGEST_BODY_BYTES_MAX, LOOKUP_PAGE_ROWS_MAX

T = TypeVar("T")
_BODY_BYTES_MAX = 64 * 1024
_READINGS_SHOWN_MAX = 100_000


class _NewConnector(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    creates_devices: bool = False
    host_every_s: float = 0.0


class _NewTarget(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    site_name: str
    connector_id: str
    code: str


class _Claim(msgspec.Struct, forbid_unknown_fields=True):
    site_name: str
    connector_id: str
    code: str


class _ConnectorChange(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    creates_devices: bool


class _NewDevice(msgspec.Struct, forbid_unknown_fields=True):
    identity: str
    name: str = ""
    description: str = ""


class _DeviceChange(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""


class _Tag(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: str


class _Switch(msgspec.Struct, forbid_unknown_fields=True):
    on: bool


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    token: str = ""


def api_routes(site: Site, access: Access) -> list[BaseRoute]:
    """Return all routes of the API."""
    return _Api(site, access).routes()


Handler = Callable[[Request], Awaitable[Any]]


class _Api:
    def __init__(self, site: Site, access: Access) -> None:
        self._site = site
        self._access = access

    def routes(self) -> list[BaseRoute]:
        """The registry: path, method, action it needs (see connector.access), handler."""
        one = "/connectors/{connector_id}"
        table: list[tuple[str, str, str, Handler]] = [
            ("/status", "GET", "read", self._status),
            ("/enrol", "POST", "manage", self._enrol),
            ("/connectors", "GET", "read", self._list_connectors),
            ("/connectors", "POST", "manage", self._create_connector),
            ("/targets", "POST", "manage", self._create_target),
            (one, "GET", "read", self._get_connector),
            (one, "PATCH", "manage", self._change_connector),
            (one, "DELETE", "manage", self._delete_connector),
            (one + "/disable", "POST", "manage", self._disable),
            (one + "/enable", "POST", "manage", self._enable),
            (one + "/remote-sync", "GET", "manage", self._get_window),
            (one + "/remote-sync", "POST", "manage", self._open_window),
            (one + "/remote-sync", "DELETE", "manage", self._close_window),
            (one + "/remote-sync/accept", "POST", "manage", self._accept),
            (one + "/remote-sync/refuse", "POST", "manage", self._refuse),
            (one + "/claim", "POST", "manage", self._claim),
            (one + "/account", "GET", "read", self._account),
            (one + "/gaps", "GET", "read", self._gaps),
            (one + "/devices", "GET", "read", self._list_devices),
            (one + "/devices", "POST", "edit", self._create_device),
            (one + "/devices/{identity:path}/tags", "POST", "edit", self._add_tag),
            (one + "/devices/{identity:path}/tags", "DELETE", "edit", self._remove_tag),
            (one + "/devices/{identity:path}", "GET", "read", self._get_device),
            (one + "/devices/{identity:path}", "PATCH", "edit", self._change_device),
            (one + "/resources", "GET", "read", self._list_resources),
            (one + "/resources", "POST", "edit", self._create_resource),
            (one + "/resources/{alias:path}/remote-sync", "PUT", "edit", self._set_remote_sync),
            (one + "/resources/{alias:path}/create-here", "POST", "edit", self._create_like_peer),
            (one + "/readings", "POST", "readings", self._post_readings),
            (one + "/readings", "GET", "read", self._get_readings),
        ]
        return [
            Route("/api/v1" + path, self._guarded(action, handler), methods=[method])
            for path, method, action, handler in table
        ]

    def _guarded(self, action: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                await self._access.require(request, action)
                return answer(await handler(request))
            except Refused as refused:
                return refusal(refused)
            except StorageFailed as failed:
                return refusal(Refused("storage_failed", why=str(failed)))
            except LinkLost as lost:
                return answer({"code": "hub_not_reachable", "message": str(lost), "facts": {}}, 503)
            except ClientDisconnect:
                return Response(status_code=499)

        return endpoint

    # --- site and connectors --------------------------------------------------------------------------------------------

    async def _status(self, _request: Request) -> Any:
        return await site_status(self._site)

    async def _enrol(self, request: Request) -> Any:
        body = await _read(request, _Token)
        await self._site.enrol(body.token)
        return {"enrolled": bool(self._site.identity.enrolment), "site_name": self._site.identity.site_name}

    async def _list_connectors(self, _request: Request) -> Any:
        return [await self._shown(connector) for connector in await self._site.connectors()]

    async def _get_connector(self, request: Request) -> Any:
        return await self._shown(await self._site.connector(_id(request)))

    async def _shown(self, connector: Connector) -> Any:
        return await connector_status(self._site, connector)

    async def _create_connector(self, request: Request) -> Any:
        body = await _read(request, _NewConnector)
        if body.host_every_s and not 0.1 <= body.host_every_s <= 3600:
            raise Refused("invalid", what="host_every_s", why="it takes 0 (none) or 0.1 to 3600 seconds")
        return await self._shown(
            await self._site.create_connector(
                body.name, creates_devices=body.creates_devices, host_every_s=body.host_every_s
            )
        )

    async def _create_target(self, request: Request) -> Any:
        body = await _read(request, _NewTarget)
        return await self._shown(
            await self._site.create_target(
                body.name, site_name=body.site_name, source_connector=body.connector_id, code=body.code
            )
        )

    async def _change_connector(self, request: Request) -> Any:
        body = await _read(request, _ConnectorChange)
        return await self._shown(
            await self._site.change_connector(_id(request), body.name, creates_devices=body.creates_devices)
        )

    async def _delete_connector(self, request: Request) -> Any:
        await self._site.delete_connector(_id(request))

    async def _disable(self, request: Request) -> Any:
        await self._site.disable_connector(_id(request), disabled=True)

    async def _enable(self, request: Request) -> Any:
        await self._site.disable_connector(_id(request), disabled=False)

    # --- pairing --------------------------------------------------------------------------------------------------------

    async def _get_window(self, request: Request) -> Any:
        return window_status(self._site, _id(request), await self._site.window(_id(request)))

    async def _open_window(self, request: Request) -> Any:
        return window_status(self._site, _id(request), await self._site.enable_remote_sync(_id(request)))

    async def _close_window(self, request: Request) -> Any:
        await self._site.close_window(_id(request))

    async def _accept(self, request: Request) -> Any:
        await self._site.accept_claimant(_id(request))

    async def _refuse(self, request: Request) -> Any:
        await self._site.refuse_claimant(_id(request))

    async def _claim(self, request: Request) -> Any:
        body = await _read(request, _Claim)
        await self._site.claim(
            _id(request), site_name=body.site_name, source_connector=body.connector_id, code=body.code
        )
        return await self._shown(await self._site.connector(_id(request)))

    async def _account(self, request: Request) -> Any:
        own, stated = await self._site.account(_id(request))
        return {"own": own, "stated_by_source": stated}

    async def _gaps(self, request: Request) -> Any:
        self._site.runtime(_id(request))
        return [{"ours": row.ours, **_fields(row.notice)} for row in await self._site.gaps(_id(request))]

    # --- devices --------------------------------------------------------------------------------------------------------

    async def _list_devices(self, request: Request) -> Any:
        connector_id = _id(request)
        runtime = self._site.runtime(connector_id)
        query = request.query_params
        question = ListQuestion(
            query.get("search", ""), _number(query.get("limit"), 50), _number(query.get("offset"), 0)
        )
        if query.get("from") == "peer":
            page, origin = await self._site.lookups.list_devices(connector_id, runtime.calls, question)
            return {**_origin(origin), "total": page.total if page else 0, "rows": page.rows if page else []}
        now_ms = self._site.clock.wall_ms()
        page = await self._site.database.read(
            lambda c: devices.list_devices(
                c, connector_id, now_ms, search=question.search, limit=question.limit, offset=question.offset
            )
        )
        return {"origin": "here", "total": page.total, "rows": page.rows}

    async def _create_device(self, request: Request) -> Any:
        body = await _read(request, _NewDevice)
        await self._site.create_device(_id(request), body.identity, body.name, body.description)

    async def _get_device(self, request: Request) -> Any:
        connector_id, identity = _id(request), request.path_params["identity"]
        runtime = self._site.runtime(connector_id)
        if request.query_params.get("from") == "peer":
            found, origin = await self._site.lookups.get_device(connector_id, runtime.calls, identity)
            if found is None:
                raise Refused("not_found", what="device at the other site")
            return {**_origin(origin), "device": found.device, "values": found.values}
        now_ms = self._site.clock.wall_ms()

        def unit(connection: sqlite3.Connection) -> dict[str, Any]:
            return {
                "origin": "here",
                "device": devices.get_device(connection, connector_id, identity, now_ms),
                "values": devices.list_values(connection, connector_id, identity),
            }

        return await self._site.database.read(unit)

    async def _change_device(self, request: Request) -> Any:
        body = await _read(request, _DeviceChange)
        await self._site.rename_device(_id(request), request.path_params["identity"], body.name, body.description)

    async def _add_tag(self, request: Request) -> Any:
        body = await _read(request, _Tag)
        await self._site.add_tag(_id(request), request.path_params["identity"], body.name, body.value)

    async def _remove_tag(self, request: Request) -> Any:
        body = await _read(request, _Tag)
        await self._site.remove_tag(_id(request), request.path_params["identity"], body.name, body.value)

    # --- resources and readings -----------------------------------------------------------------------------------------

    async def _list_resources(self, request: Request) -> Any:
        return await self._site.resources(_id(request))

    async def _create_resource(self, request: Request) -> Any:
        await self._site.create_resource(_id(request), await _read(request, NewResource))

    async def _set_remote_sync(self, request: Request) -> Any:
        body = await _read(request, _Switch)
        await self._site.set_remote_sync(_id(request), request.path_params["alias"], on=body.on)

    async def _create_like_peer(self, request: Request) -> Any:
        await self._site.create_resource_like_peer(_id(request), request.path_params["alias"])

    async def _post_readings(self, request: Request) -> Any:
        body = await _bounded(request, INGEST_BODY_BYTES_MAX)
        outcome = await self._site.ingest_ndjson(_id(request), body)
        return {
            "accepted": outcome.accepted,
            "repeated": outcome.repeated,
            "refused": outcome.refused,
            "refusals": outcome.refusals,
        }

    async def _get_readings(self, request: Request) -> Any:
        connector_id, query = _id(request), request.query_params
        self._site.runtime(connector_id)
        device, resource = query.get("device", ""), query.get("resource", "")
        far_ms = 1 << 62
        from_ms, to_ms = _moment(query.get("from"), 0), _moment(query.get("to"), far_ms)
        limit = min(_number(query.get("limit"), 1_000), _READINGS_SHOWN_MAX)

        def unit(connection: sqlite3.Connection) -> list[tuple[int, Any]]:
            rows = connection.execute(
                "SELECT at_ms, value, format FROM reading JOIN series USING (series_id) JOIN device USING (device_id)"
                " JOIN resource USING (resource_id) WHERE device.connector_id = ? AND identity = ? AND alias = ?"
                " AND at_ms >= ? AND at_ms < ? ORDER BY at_ms LIMIT ?",
                (connector_id, device, resource, from_ms, to_ms, limit),
            )
            return [(row[0], bool(row[1]) if row[2] == "boolean" else row[1]) for row in rows]

        readings = await self._site.database.read(unit)
        return {"device": device, "resource": resource, "readings": readings}


def answer(body: Any, status: int = 200) -> Response:
    """Return JSON, or 204 for nothing."""
    if body is None:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def refusal(refused: Refused) -> Response:
    """Return a refusal with its status."""
    facts = {name: str(value) for name, value in refused.facts.items()}
    return answer({"code": refused.code, "message": str(refused), "facts": facts}, refused.status)


def _id(request: Request) -> str:
    return str(request.path_params["connector_id"])


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "origin": origin.kind,
        "round_trip_ms": round(origin.round_trip_ms, 3),
        "age_ms": origin.age_ms,
        "why": origin.why,
    }


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name != "epochs"}


def _number(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        number = int(text)
    except ValueError:
        raise Refused("invalid", what="limit or offset", why="it is a whole number") from None
    return max(0, min(number, LOOKUP_PAGE_ROWS_MAX * 1_000))


def _moment(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() else read_time(text, 1 << 62)


async def _bounded(request: Request, most: int) -> bytes:
    """Read a body, giving up as soon as it is too large."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > most:
            raise Refused("body_too_large", most=most)
    return bytes(chunks)


async def _read(request: Request, kind: type[T]) -> T:
    body = await _bounded(request, _BODY_BYTES_MAX)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("invalid", what="Body", why=str(error)) from error
