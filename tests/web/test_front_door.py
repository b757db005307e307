"""Who is believed to have asked, by which name, and which addresses leave below a base path."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from shared.listening import Front, ListenSettings, front_of
from web.front_door import FrontDoor, html_with_base_path, public_url

PROXY, STRANGER = "10.0.0.2", "198.51.100.7"
BEHIND = front_of(
    ListenSettings(
        host="0.0.0.0",
        behind_proxy=True,
        trusted_proxies="10.0.0.0/24, 127.0.0.1",
        public_url="https://example.org:8443/pairhub/",
    )
)
RFC_7239 = front_of(ListenSettings(behind_proxy=True, public_url="http://example.org", forwarded_headers="forwarded"))


async def _seen(request: Request) -> JSONResponse:
    client = request.client
    return JSONResponse(
        {
            "client": client.host if client else "",
            "scheme": request.url.scheme,
            "host": request.headers.get("host"),
            "path": request.url.path,
            "public": public_url(request),
            "left": [name for name in request.headers if "forwarded" in name],
        }
    )


async def _away(request: Request) -> RedirectResponse:
    return RedirectResponse(request.query_params["to"], 303)


def client(front: Front, peer: str = PROXY, host: str = "localhost") -> TestClient:
    routes = [Route("/away", _away), Route("/{path:path}", _seen)]
    app = Starlette(routes=routes, middleware=[Middleware(FrontDoor, front=front)])
    return TestClient(app, base_url=f"http://{host}", client=(peer, 5000), follow_redirects=False)


def test_what_a_trusted_proxy_says_of_the_client_is_believed() -> None:
    headers = {"X-Forwarded-For": f"6.6.6.6, {STRANGER}, 10.0.0.9", "X-Forwarded-Proto": "https"}
    seen = client(BEHIND).get("/pairhub/login", headers=headers).json()
    # What stands before the first stranger is his own word.
    assert seen == {
        "client": STRANGER,
        "scheme": "https",
        "host": "example.org:8443",
        "path": "/login",
        "public": "https://example.org:8443/pairhub",
        "left": [],
    }
    named = client(BEHIND).get("/login", headers=headers | {"X-Forwarded-Host": "example.org"}).json()
    assert (named["host"], named["path"]) == ("example.org:8443", "/login")


def test_headers_of_anybody_else_are_taken_off() -> None:
    headers = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=6.6.6.6;proto=https"}
    seen = client(Front(), peer=STRANGER).get("/login", headers=headers).json()
    assert (seen["client"], seen["scheme"], seen["left"]) == (STRANGER, "http", [])
    # Nor are those of the other family, which the proxy may have passed on as they came.
    only = client(BEHIND).get("/login", headers={"Forwarded": "for=6.6.6.6"}).json()
    assert only["client"] == PROXY


def test_the_standard_header_is_read_where_it_is_the_one_that_the_proxy_sets() -> None:
    said = 'for=6.6.6.6, for="[2001:db8::7]:4711";proto=https;host=example.org'
    seen = client(RFC_7239, peer="127.0.0.1").get("/", headers={"Forwarded": said, "X-Forwarded-For": "6.6.6.6"}).json()
    assert (seen["client"], seen["scheme"], seen["host"]) == ("2001:db8::7", "https", "example.org")


def test_who_goes_around_the_proxy_is_refused_but_for_this_machine() -> None:
    around = client(BEHIND, peer=STRANGER).get("/login")
    assert (around.status_code, around.json()["code"]) == (403, "not_through_proxy")
    assert client(BEHIND, peer="127.0.0.1").get("/login").json()["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost:8471", True),
        ("127.0.0.1:8471", True),
        ("192.0.2.9", True),
        ("[2001:db8::1]:8471", True),
        ("EXAMPLE.org:8443", True),
        ("a.plants.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("plants.example", False),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str, is_ours: bool) -> None:
    front = front_of(ListenSettings(public_url="https://example.org:8443", allowed_hosts="*.plants.example"))
    answer = client(front, peer="127.0.0.1").get("/login", headers={"Host": host})
    assert answer.status_code == (200 if is_ours else 421)
    if not is_ours:
        assert "allowed_hosts" in answer.json()["message"]
        page = client(front, peer="127.0.0.1").get("/", headers={"Host": host, "Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/plain")


def test_a_page_behind_a_made_up_name_cannot_forward_its_way_in() -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "example.org", "X-Forwarded-For": STRANGER}
    assert client(BEHIND).get("/login", headers=headers).status_code == 421
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": STRANGER}
    assert client(BEHIND).get("/login", headers=headers).status_code == 421


@pytest.mark.parametrize(
    ("to", "leaves_as"),
    [
        ("/login?next=/x", "/pairhub/login?next=/x"),
        ("/pairhub/login", "/pairhub/login"),
        ("/pairhubs", "/pairhub/pairhubs"),
        ("https://other.example/", "https://other.example/"),
    ],
)
def test_redirects_leave_below_the_base_path_once(to: str, leaves_as: str) -> None:
    for base in ("", "/pairhub"):  # whether the proxy takes it off or leaves it on
        assert client(BEHIND).get(f"{base}/away", params={"to": to}).headers["location"] == leaves_as


def test_addresses_in_pages_get_the_base_path_and_text_does_not() -> None:
    page = (
        '<a href="/x">/y href=&#34;/z</a><use href="/s.svg#i"/><div hx-sse:connect="/u" title="/t"></div><a href="//o">'
    )
    found = html_with_base_path(page, "/base")
    assert found == (
        '<a href="/base/x">/y href=&#34;/z</a><use href="/base/s.svg#i"/>'
        '<div hx-sse:connect="/base/u" title="/t"></div><a href="//o">'
    )
    assert html_with_base_path(page, "") == page
