"""Which requests another web site may not make for a user, and which headers every answer carries."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from web.csrf import CrossSiteGuard, is_own_request, is_own_upgrade
from web.headers import CONTENT_SECURITY_POLICY, SecurityHeaders

HOST = "site.example:8471"
OWN = f"http://{HOST}"


@pytest.mark.parametrize(
    ("fetch_site", "origin", "is_own"),
    [
        ("same-origin", None, True),
        ("same-origin", OWN, True),
        ("none", None, True),
        ("same-site", OWN, False),
        ("cross-site", OWN, False),
        ("cross-site", "https://evil.example", False),
        ("", OWN, False),
        (None, OWN, True),
        (None, "http://SITE.example:8471", True),
        (None, f"https://{HOST}", True),
        (None, "http://site.example", False),
        (None, "http://site.example:8472", False),
        (None, "https://evil.example", False),
        (None, f"http://{HOST}.evil.example", False),
        (None, "null", False),
        (None, "http://[broken", False),
        (None, "", False),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_unsafe_method(method: str, fetch_site: str | None, origin: str | None, is_own: bool) -> None:
    headers = {"host": HOST, "sec-fetch-site": fetch_site, "origin": origin}
    assert is_own_request(method, "http", {k: v for k, v in headers.items() if v is not None}) is is_own


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_method_passes(method: str) -> None:
    assert is_own_request(method, "http", {"sec-fetch-site": "cross-site"})


def test_http_origin_is_refused_where_the_server_speaks_https() -> None:
    assert not is_own_request("POST", "https", {"host": HOST, "origin": OWN})


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({}, True),
        ({"origin": OWN}, True),
        ({"origin": OWN, "sec-fetch-site": "same-origin"}, True),
        ({"origin": OWN, "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_websocket_upgrade(headers: dict[str, str], is_own: bool) -> None:
    assert is_own_upgrade("ws", {"host": HOST, **headers}) is is_own


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


@pytest.fixture
def app() -> Starlette:
    return Starlette(
        routes=[
            Route("/form", answer, methods=["POST"]),
            Route("/api/v1/readings", answer, methods=["POST"]),
            WebSocketRoute("/socket", socket),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(CrossSiteGuard, program_prefixes=("/api/",))],
    )


def test_guard_stands_before_the_handler(app: Starlette) -> None:
    with TestClient(app, base_url=OWN) as client:
        assert client.post("/form").status_code == 403
        assert client.post("/form", headers={"sec-fetch-site": "same-origin"}).text == "done"
        refused = client.post("/form", headers={"origin": "https://evil.example"})
        assert refused.status_code == 403
        assert "did not come from a page of this server" in refused.text


def test_programs_pass_on_their_own_paths(app: Starlette) -> None:
    with TestClient(app, base_url=OWN) as client:
        assert client.post("/api/v1/readings").text == "done"


def test_foreign_browser_opens_no_socket(app: Starlette) -> None:
    with TestClient(app, base_url=OWN) as client:
        with client.websocket_connect("/socket", headers={"origin": OWN, "host": HOST}):
            pass
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/socket", headers={"origin": "https://evil.example"}),
        ):
            pass


def test_every_answer_carries_the_headers_and_a_refusal_too(app: Starlette) -> None:
    with TestClient(app, base_url=OWN) as client:
        for response in (client.post("/form"), client.get("/nowhere")):
            assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "same-origin"
            assert "strict-transport-security" not in response.headers


def test_https_is_remembered_by_browsers(app: Starlette) -> None:
    with TestClient(app, base_url="https://site.example") as client:
        assert client.get("/").headers["strict-transport-security"].startswith("max-age=")


def test_policy_allows_nothing_inline_and_nobody_else() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "http" not in CONTENT_SECURITY_POLICY
