"""The page *Hub* of a site: what is missing before anything can be paired, and the token that mends it (W3)."""

from pathlib import Path

import httpx2

from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from tests.connector.visitors import visitor


async def made_token(hub: RunningHub, data_dir: Path, site_name: str) -> str:
    """Make a token as the hub's command line does."""
    headers = {"Authorization": "Bearer " + (data_dir / "operator.token").read_text().strip()}
    async with httpx2.AsyncClient(base_url=hub.url, headers=headers, trust_env=False) as http:
        answer = await http.post("/api/v1/enrolment-tokens", json={"site_name": site_name})
    return str(answer.json()["token"])


async def test_w3_a_new_site_is_led_to_its_token_and_enrolled_by_the_page(tmp_path: Path) -> None:
    settings = HubSettings(port=0, data_dir=tmp_path / "hub")
    async with running_hub(settings) as hub, visitor(tmp_path, hub_url=hub.url) as found:
        assert "This site is not enrolled at its hub yet, so nothing can be paired. Enrol it" in await found.get(
            "/connectors"
        )
        assert "not enrolled Address" in await found.get("/hub")

        refused = await found.http.post("/hub/enrol", data={"token": "phe_nonsense"})
        assert refused.status_code == 403
        assert 'id="field-token-error"' in refused.text
        assert "This site is not enrolled at its hub" in await found.get("/repairs")

        token = await made_token(hub, settings.data_dir, "hillside")
        assert await found.post("/hub/enrol", token=f" {token} ") == "/hub"

        page = await found.get("/hub")
        assert "This site is enrolled at its hub. Its connectors can be paired now." in page
        assert "Enrolled as hillside Links none needed until a connector pairs" in page
        assert "not enrolled" not in await found.get("/connectors")


async def test_w3_a_site_without_a_hub_says_how_to_name_one(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        assert "Start it again with a hub's address: --hub-url https://hub.example" in await found.get("/hub")
        assert "not enrolled" not in await found.get("/connectors")
        target = {
            "is_target": "on",
            "peer_site_name": "riverside",
            "peer_connector_id": "QHSD-C75F",
            "code": "FN0K-AB6N-B",
        }
        assert "This site knows no hub. Start it with the address of one" in await found.post(
            "/connectors", 409, **target
        )
