"""W5 and W11 against whoever speaks HTTP directly: no operation and no form parts a pair, or writes readings at a target."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import anyio
import httpx2
import msgspec
import pytest
import pytest_asyncio
from starlette.routing import Route

from connector.api.registry import OPERATIONS
from connector.api.routing import PREFIX
from connector.pages.frame import Desk
from connector.pages.routes import page_routes
from connector.pages.samples import Samples
from connector.resources import NewResource
from shared.core.completion import PairState
from shared.rig.client import operator_token
from tests.connector.site_stage import line, stored
from tests.connector.visitors import Two, Visitor, two_sites, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.e2e]

# What somebody might send who wants to be rid of a pair: as a form, and as bodies of the API.
FORM: Final = {
    "confirmed": "yes",
    "expected": "1",
    "action": "delete",
    "act": "restore",
    "everything": "yes",
    "name": "renamed",
    "role": "standalone",
    "on": "no",
    "alias": "flow",
    "value": "1",
}
BODIES: Final = (
    b"",
    b'{"role": "standalone", "disabled": true, "confirmed": true, "force": true, "pair": null}',
)
# No reading of the source has such a value.
FORGED: Final = 666.0


class Joined:
    """A pair of two sites in this process, and requests that bypass its pages."""

    def __init__(self, two: Two, source_id: str, target_id: str) -> None:
        self.two = two
        self.sides = ((two.source, source_id), (two.target, target_id))
        self.source_id = source_id
        self.target_id = target_id

    async def ask(self, found: Visitor, method: str, path: str, body: bytes, kind: str = "") -> httpx2.Response:
        """Ask the API as a program of the operator, or a form (`kind` names it) as his browser."""
        headers = {"Content-Type": kind or "application/json"}
        if not kind or path.startswith(PREFIX):
            headers["Authorization"] = f"Bearer {operator_token(found.site.settings.data_dir)}"
        return await found.http.request(method, path, content=body, headers=headers)

    async def expect_whole(self, after: str) -> None:
        """Both connectors are there, enabled, paired, with the peer they had."""
        for (found, connector_id), (_, peer_id) in zip(self.sides, self.sides[::-1], strict=True):
            connector = await found.site.connector(connector_id)
            assert not connector.disabled, f"disabled by {after}"
            pair = found.site.pair(connector_id)
            assert pair is not None, f"parted by {after}"
            assert (pair.state, pair.peer_connector_id) == (PairState.PAIRED, peer_id), after

    async def at_target(self) -> list[tuple[int, object]]:
        """Return the history of the one series at the target."""
        return await stored(self.two.target.site, self.target_id, "flow")

    async def expect_nothing_forged(self) -> None:
        """Nothing stands at the target that was not accepted at the source."""
        assert FORGED not in [value for _, value in await self.at_target()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joined(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Joined]:
    """A pair with one reading that has arrived."""
    async with two_sites(tmp_path_factory.mktemp("direct")) as two:
        source_id = (await two.source.site.create_connector("pumps", creates_devices=True)).connector_id
        target_id = await two.pair(source_id)
        joined = Joined(two, source_id, target_id)
        await two.source.site.create_resource(
            source_id, NewResource(alias="flow", format="number", remote_sync=True, settable=True)
        )

        async def offered() -> bool:
            return any(row.alias == "flow" for row in await two.target.site.resources(target_id))

        await until(offered, "the target to know of the resource")
        await two.target.site.create_resource_like_peer(target_id, "flow")
        await two.source.site.ingest(source_id, line("pump", "flow", 1.5))
        await until(joined.at_target, "the reading to arrive")
        yield joined


def forms(found: Visitor) -> Iterator[str]:
    """Yield the address of every form that concerns one connector."""
    site = found.site
    for route in page_routes(Desk(site, found.running.access, Samples(site), anyio.Event())):
        assert isinstance(route, Route)
        if "POST" in (route.methods or ()) and "{connector_id}" in route.path:
            yield route.path


def filled(pattern: str, connector_id: str) -> str:
    """Return an address with all its parts filled in."""
    known = {"connector_id": connector_id, "device": "pump", "identity": "pump", "alias": "flow", "class_name": "tags"}
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: known.get(part[1], "1"), pattern)


# --- what would write at a target (W11) ---------------------------------------------------------------------------------


def batch(*readings: tuple[int, float]) -> bytes:
    payload = [{"timestamp": 1_763_647_200_000 + at, "values": {"flow": value}} for at, value in readings]
    return msgspec.json.encode({"identity": "pump", "payload": payload})


WRITES: Final[dict[str, Callable[[float], bytes]]] = {
    "NDJSON": lambda value: line("pump", "flow", value) + b"\n" + line("pump", "flow", value),
    "a JSON array": lambda value: b"[" + line("pump", "flow", value) + b"," + line("pump", "flow", value) + b"]",
    "a batch": lambda value: batch((1, value), (2, value)),
    "batches": lambda value: b"[" + batch((3, value)) + b"," + batch((4, value)) + b"]",
    "another device": lambda value: line("new", "flow", value),
}


@pytest.mark.parametrize("form", WRITES)
async def test_w11_readings_in_any_form_are_refused_at_the_target_and_the_source_is_named(
    joined: Joined, form: str
) -> None:
    for kind in ("application/json", "application/x-ndjson", "text/plain"):
        path = f"{PREFIX}/connectors/{joined.target_id}/readings"
        answer = await joined.ask(joined.two.target, "POST", path, WRITES[form](FORGED), kind)
        assert (answer.status_code, answer.json()["code"]) == (409, "target_not_writable")
        assert answer.json()["message"].endswith("from the source site 'hillside'. Send them there.")
    await joined.expect_nothing_forged()
    # The same bytes are good where they belong.
    path = f"{PREFIX}/connectors/{joined.source_id}/readings"
    answer = await joined.ask(joined.two.source, "POST", path, WRITES[form](2.5))
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] >= 1


async def test_w11_a_target_takes_no_mqtt_subscription_and_names_the_source(joined: Joined) -> None:
    path = f"{PREFIX}/connectors/{joined.target_id}/mqtt"
    wish = b'{"name": "broker", "host": "127.0.0.1", "port": 1, "template": "{device}/{resource}"}'
    answer = await joined.ask(joined.two.target, "POST", path, wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "target_not_writable")
    assert "from the source site 'hillside'" in answer.json()["message"]
    assert await joined.two.target.site.mqtt.subscriptions(joined.target_id) == []


# --- what would part a pair (W5) ----------------------------------------------------------------------------------------


async def test_w5_disabling_and_deleting_are_refused_with_the_reason_by_form_and_by_api(joined: Joined) -> None:
    for found, connector_id in joined.sides:
        for method, path in (
            ("POST", f"{PREFIX}/connectors/{connector_id}/disable"),
            ("DELETE", f"{PREFIX}/connectors/{connector_id}"),
        ):
            answer = await joined.ask(found, method, path, b"")
            assert (answer.status_code, answer.json()["code"]) == (409, "still_paired")
        for path in (f"/connectors/{connector_id}/disable", f"/connectors/{connector_id}/delete"):
            text = await found.post(path, 409, confirmed="yes")
            assert "can be neither disabled nor deleted: its peer at the other site depends on it" in text
        await joined.expect_whole("a refused request")


async def test_w5_no_form_and_no_operation_parts_a_pair_and_w11_none_writes_at_the_target(joined: Joined) -> None:
    """Every one of them, with what might do harm: also those that will be added one day."""
    tried = 0
    for found, connector_id in joined.sides:
        asked = [(operation.method, PREFIX + operation.path, "") for operation in OPERATIONS]
        asked += [("POST", pattern, "application/x-www-form-urlencoded") for pattern in forms(found)]
        for method, pattern, kind in asked:
            if method == "GET" or "{connector_id}" not in pattern:
                continue
            path = filled(pattern, connector_id)
            bodies = ("&".join(f"{name}={text}" for name, text in FORM.items()).encode(),) if kind else BODIES
            if connector_id == joined.target_id and not kind:
                bodies = (*bodies, WRITES["NDJSON"](FORGED))
            for body in bodies:
                answer = await joined.ask(found, method, path, body, kind)
                assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
                tried += 1
            await joined.expect_whole(f"{method} {path}")
    assert tried > 150
    await joined.expect_nothing_forged()
