"""Set-up, log-in and log-out, walked without scripts."""

from pathlib import Path

from tests.connector.visitors import PASSWORD, browsing, visitor


async def test_a_fresh_site_leads_everybody_to_its_setup(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        for path in ("/", "/login", "/connectors", "/connectors/AAAA-AAAA"):
            response = await found.http.get(path)
            assert (response.status_code, response.headers["location"]) == (303, "/setup"), path
        assert "Set up this site" in await found.get("/setup")


async def test_the_token_in_the_address_fills_the_form(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        response = await found.http.get("/setup?token=phs_abc")

        assert 'value="phs_abc"' in response.text


async def test_a_wrong_token_makes_nobody(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        text = await found.post(
            "/setup", 403, token="phs_x", user_name="eve", password=PASSWORD, password_again=PASSWORD
        )

        assert "This is not the token that the program printed" in text
        assert not found.running.access.is_set_up


async def test_setup_names_what_is_wrong_with_the_fields(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        token = found.running.access.setup_token or ""
        text = await found.post("/setup", 422, token=token, user_name="", password="short", password_again="short")
        assert "Use 1 to 64 printable characters." in text
        assert "Use at least 10 characters." in text

        text = await found.post("/setup", 422, token=token, user_name="a", password=PASSWORD, password_again="other")
        assert "The two passwords differ." in text


async def test_setup_logs_in_and_closes_itself(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as late:
        assert "Welcome, admin. This site is set up." in await found.get("/connectors")
        assert (await late.http.get("/setup")).headers["location"] == "/login"
        await late.post("/setup", 422, token="phs_x", user_name="eve", password=PASSWORD, password_again=PASSWORD)


async def test_log_in_leads_back_to_the_page_that_was_asked_for(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as other:
        wanted = await found.create("Pump house")
        response = await other.http.get(f"{wanted}/devices?search=pump")
        assert response.headers["location"] == f"/login?next={wanted.replace('/', '%2F')}%2Fdevices%3Fsearch%3Dpump"

        await other.get(response.headers["location"])
        way = await other.post("/login", next=f"{wanted}/devices?search=pump", user_name="ADMIN", password=PASSWORD)

        assert way == f"{wanted}/devices?search=pump"
        await other.get(way)


async def test_log_in_leads_to_no_other_server(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as other:
        for wanted in ("//evil.example/x", "https://evil.example", "/\\evil.example"):
            way = await other.post("/login", next=wanted, user_name="admin", password=PASSWORD)
            assert not way.startswith("//")
            assert way.startswith("/")
            assert "evil" not in way


async def test_a_wrong_password_and_an_unknown_user_are_told_alike(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as other:
        for name in ("admin", "nobody"):
            text = await other.post("/login", 401, user_name=name, password="wrong password")
            assert "User name or password is wrong." in text


async def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as other:
        for _ in range(5):
            await other.post("/login", 401, user_name="admin", password="wrong password")

        assert "Too many attempts." in await other.post("/login", 429, user_name="admin", password=PASSWORD)


async def test_log_out_says_so_and_forgets(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        assert await found.post("/logout") == "/login"
        assert "You are logged out." in await found.get("/login")
        assert (await found.http.get("/connectors")).headers["location"] == "/login?next=%2Fconnectors"


async def test_a_script_is_told_to_log_in_and_not_led_away(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as other:
        for headers in ({"HX-Request": "true"}, {"Accept": "text/event-stream"}):
            assert (await other.http.get("/connectors", headers=headers)).status_code == 401
