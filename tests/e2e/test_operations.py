"""What an operator sees of a pair at work: metrics of all three daemons, and logs without secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from connector.doctor import examine
from connector.metrics import MEASURES as SITE_MEASURES
from connector.settings import SiteSettings
from hub.metrics import MEASURES as HUB_MEASURES
from shared.doctor.findings import Outcome
from shared.metrics import HTTP_MEASURES, METRICS_PATH, Measure
from shared.rig.client import ApiClient, operator_token, pair, until
from shared.rig.daemons import Daemon
from tests.e2e.stage import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.e2e]
READINGS = 5
# By repair and by way of notices: nothing is wrong with a daemon of the house, and nobody is to be told.
OF_A_QUIET_DAEMON = {
    "pairhub_repair_open",
    *(f"pairhub_notices_{name}" for name in ("waiting", "failing", "delivered_total", "lost_total")),
}
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class House:
    """A hub and two paired sites that log everything as JSON."""

    hub: Daemon
    plant: Daemon
    office: Daemon
    source_id: str = ""
    target_id: str = ""
    pair_id: str = ""
    code: str = ""

    @property
    def daemons(self) -> tuple[Daemon, Daemon, Daemon]:
        """All three, the hub first."""
        return self.hub, self.plant, self.office

    def client(self, daemon: Daemon) -> ApiClient:
        """A client with the operator token of now."""
        return ApiClient(daemon.url, operator_token(daemon.data_dir))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")

    def daemon(kind: str, name: str, **flags: object) -> Daemon:
        port = free_port()
        logs = {"log_level": "debug", "log_format": "json"}
        return Daemon(kind, name, {"port": port, **logs, **flags}, folder / name, f"http://127.0.0.1:{port}")

    hub = daemon("hub", "hub", open_enrolment="true", metrics_open="true", allowed_hosts="hub.example")
    plant, office = (daemon("site", name, site_name=name, hub_url=hub.url) for name in ("plant", "office"))
    made = House(hub, plant, office)
    try:
        await asyncio.gather(*(each.start() for each in made.daemons))
        await _pair_and_stream(made)
        yield made
    finally:
        await asyncio.gather(*(each.stop() for each in made.daemons))


class _Listening(ApiClient):
    """A client that keeps what it is answered: the code of a pairing is shown for as long as it is good, and no longer."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self.answers: list[dict] = []

    async def post(self, path: str, body: Any = None) -> Any:
        found = await super().post(path, body)
        self.answers += [found] if isinstance(found, dict) else []
        return found


async def _pair_and_stream(house: House) -> None:
    listening = _Listening(house.plant.url, _operator_token(house.plant))
    async with listening as source, house.client(house.office) as target:
        made = await source.post("/connectors", {"name": "press", "creates_devices": True})
        house.source_id = made["connector_id"]
        await source.post(f"/connectors/{house.source_id}/resources", {"alias": "flow", "format": "number"})
        await source.ask("PUT", f"/connectors/{house.source_id}/resources/flow/remote-sync", {"on": True})
        house.target_id = await pair(source, house.source_id, target, "press there")
        (house.code,) = {answer["code"] for answer in listening.answers if "code" in answer}
        house.pair_id = (await source.get(f"/connectors/{house.source_id}"))["pair"]["pair_id"]

        async def told() -> object:
            return await target.rows(f"/connectors/{house.target_id}/resources")

        await until(told, what="the target to hear of the resource")
        await target.post(f"/connectors/{house.target_id}/resources/flow/create-here")
        lines = [json.dumps({"device": "pump", "resource": "flow", "value": at}) for at in range(READINGS)]
        await source.post(f"/connectors/{house.source_id}/readings", "\n".join(lines).encode())

        async def applied() -> object:
            account = await source.get(f"/connectors/{house.source_id}/account")
            return account["own"]["applied"] == READINGS

        await until(applied, what="the readings to be applied")


async def scraped(daemon: Daemon) -> tuple[Values, dict[str, str]]:
    """What a scraper with the operator token reads, by the library's own parser: values, and kinds by name."""
    headers = {"Authorization": f"Bearer {operator_token(daemon.data_dir)}"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(daemon.url + METRICS_PATH, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    values: Values = {}
    kinds: dict[str, str] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in values, f"{key} stands twice"
            values[key] = sample.value
            kinds[sample.name] = family.type
    return values, kinds


def value(values: Values, name: str, **labels: str) -> float:
    return values[name, frozenset(labels.items())]


def check_declared(found: tuple[Values, dict[str, str]], measures: tuple[Measure, ...], may_lack: set[str]) -> None:
    """Everything said is declared, with its kind and labels, and everything declared is said."""
    values, kinds = found
    declared = {measure.name: measure for measure in measures}
    said = {name for name, _ in values if name.startswith("pairhub_") and "http_" not in name}
    assert said <= set(declared)
    assert set(declared) - said <= may_lack
    for name, labels in values:
        if name in declared:
            assert {label for label, _ in labels} == set(declared[name].labels)
            assert kinds[name] == declared[name].kind
    assert all(any(name.startswith(measure.name) for name, _ in values) for measure in HTTP_MEASURES)
    assert any(name == "process_resident_memory_bytes" for name, _ in values)


async def test_a_source_says_its_account_its_link_and_its_backlog(house: House) -> None:
    found = await scraped(house.plant)
    # The canary and the first ping may still be on their way.
    on_their_way = {"pairhub_pair_round_trip_seconds", "pairhub_link_round_trip_seconds"}
    # By cause: nothing was dropped.
    causes = ("dropped", "resource_dropped", "gap_notices", "gap_readings", "gap_readings_taken_back")
    of_nothing = {f"pairhub_{name}_total" for name in causes}
    check_declared(found, SITE_MEASURES, on_their_way | of_nothing | OF_A_QUIET_DAEMON)
    values, _ = found
    ids = {"connector": house.source_id, "pair": house.pair_id}
    assert value(values, "pairhub_accepted_total", **ids) == READINGS
    assert value(values, "pairhub_applied_total", **ids) == READINGS
    for name in ("tail", "outbox", "held", "quarantined", "backlog"):
        assert value(values, f"pairhub_{name}_readings", **ids) == 0
    assert value(values, "pairhub_oldest_unapplied_seconds", **ids) == 0
    assert value(values, "pairhub_readings_taken_total", connector=house.source_id) == READINGS
    assert value(values, "pairhub_link_up", connector=house.source_id) == 1
    assert value(values, "pairhub_connectors", role="source") == 1
    assert value(values, "pairhub_database_commits_total") > 0
    assert value(values, "pairhub_disk_free_bytes") > 0
    posts = [
        labels for name, labels in values if name == "pairhub_http_requests_total" and ("method", "POST") in labels
    ]
    assert posts


async def test_a_hub_says_sites_links_pairs_and_what_it_relayed(house: House) -> None:
    found = await scraped(house.hub)
    check_declared(found, HUB_MEASURES, {"pairhub_oldest_copy_seconds"} | OF_A_QUIET_DAEMON)
    values, _ = found
    assert value(values, "pairhub_sites", state="enrolled") == 2
    assert value(values, "pairhub_links") == 2
    assert value(values, "pairhub_pairs", sides_linked="2") == 1
    assert value(values, "pairhub_relayed_bytes_total", pair=house.pair_id) > 0
    assert value(values, "pairhub_copies", pair=house.pair_id) == 0


async def test_the_doctor_finds_a_running_pair_well(house: House) -> None:
    plant = SiteSettings(data_dir=house.plant.data_dir, hub_url=house.hub.url)
    found = await examine(plant)
    assert [finding for finding in found if finding.outcome is not Outcome.OK] == []
    daemon = next(finding for finding in found if finding.check == "daemon")
    assert "does its work" in daemon.what


async def test_metrics_want_a_token_unless_this_machine_is_let_in(house: House) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        refused = await http.get(house.plant.url + METRICS_PATH)
        wrong = await http.get(house.plant.url + METRICS_PATH, headers={"Authorization": "Bearer pho_wrong"})
        open_here = await http.get(house.hub.url + METRICS_PATH)
        from_afar = await http.get(house.hub.url + METRICS_PATH, headers={"Host": "hub.example"})
    assert (refused.status_code, wrong.status_code) == (401, 401)
    assert refused.headers["content-type"].startswith("text/plain")
    assert "Bearer" in refused.text
    assert open_here.status_code == 200
    assert from_afar.status_code == 401, "a proxy on this machine carries others"


async def test_logs_are_json_lines_that_name_pair_and_connector_and_hold_no_secret(house: House) -> None:
    lines = {each.name: _log_lines(each.log_path) for each in house.daemons}
    assert any(line.get("pair") == house.pair_id and line.get("connector") == house.source_id for line in lines["hub"])
    for name, connector_id in (("plant", house.source_id), ("office", house.target_id)):
        paired = [line for line in lines[name] if line["message"].startswith("paired with")]
        assert [(line["connector"], line["pair"]) for line in paired] == [(connector_id, house.pair_id)]
    secrets = {house.code, house.code.replace("-", ""), *map(_operator_token, house.daemons)}
    for each in house.daemons:
        logged = json.dumps(lines[each.name])
        assert {"time", "level", "from", "message"} <= set(lines[each.name][0])
        for secret in secrets:
            assert len(secret) > 5
            assert secret.lower() not in logged.lower()
        for word in ("BEGIN", "private_key", "root_secret", "phs_0", "Bearer ey"):
            assert word not in logged


async def test_what_waits_is_said_with_its_age_and_the_link_with_its_state(house: House) -> None:
    await house.office.stop()  # for good: this is the last test of the house
    async with house.client(house.plant) as source:
        line = json.dumps({"device": "pump", "resource": "flow", "value": 1})
        await source.post(f"/connectors/{house.source_id}/readings", line.encode())

    async def seen() -> object:
        values, _ = await scraped(house.plant)
        ids = {"connector": house.source_id, "pair": house.pair_id}
        waits = value(values, "pairhub_backlog_readings", **ids) == 1
        away = value(values, "pairhub_link_state", connector=house.source_id, state="peer_offline") == 1
        aged = value(values, "pairhub_oldest_unapplied_seconds", **ids) > 0
        return waits and away and aged and value(values, "pairhub_backlog_bytes", **ids) > 0

    await until(seen, what="the backlog to be said")


def _operator_token(daemon: Daemon) -> str:
    return operator_token(daemon.data_dir)


def _log_lines(path: Path) -> list[dict]:
    """The lines of the log; what goes to standard output stands in the same file."""
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines() if row.startswith("{")]
