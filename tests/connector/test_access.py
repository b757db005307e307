"""Who gets in at a site, and what he may do there."""

import sqlite3
from pathlib import Path

import httpx2
import pytest

from connector import people
from connector.access import ACTIONS, KEY_SCOPES, Access, authorize
from connector.people import ROLES, AuditRow
from connector.settings import SiteSettings
from connector.site import Site
from shared.database import Database
from shared.doctor.audit import check_audit
from shared.errors import Misuse, Refused, StorageFailed
from tests.connector.visitors import Visitor, browsing, visitor
from web.authorize import STRANGER, Principal, PrincipalKind

# The whole matrix, written out so that a change of the table has to be meant.
ALLOWED = {
    ("admin", "read"),
    ("admin", "readings"),
    ("admin", "edit"),
    ("admin", "manage"),
    ("admin", "audit"),
    ("operator", "read"),
    ("operator", "readings"),
    ("operator", "edit"),
    ("viewer", "read"),
    ("auditor", "read"),
    ("auditor", "audit"),
}


@pytest.mark.parametrize("role", [*ROLES, "", "root"])
@pytest.mark.parametrize("action", [*ACTIONS, "", "erase"])
def test_people_may_do_what_their_role_includes_and_nothing_else(role: str, action: str) -> None:
    person = Principal(PrincipalKind.USER, "somebody", role)

    assert authorize(person, action) is ((role, action) in ALLOWED)


@pytest.mark.parametrize("action", [*ACTIONS, "erase"])
def test_a_stranger_may_do_nothing(action: str) -> None:
    assert not authorize(STRANGER, action)


@pytest.mark.parametrize("action", [*ACTIONS, "erase"])
def test_a_key_may_do_what_its_scopes_say(action: str) -> None:
    key = Principal(PrincipalKind.API_KEY, "key", scopes=KEY_SCOPES)
    whole = Principal(PrincipalKind.API_KEY, "key", scopes=frozenset({"admin"}))
    bare = Principal(PrincipalKind.API_KEY, "key", "admin")

    assert authorize(key, action) is (action in {"read", "readings"})
    assert authorize(whole, action) is (action in ACTIONS)
    assert not authorize(bare, action)


async def opened(data_dir: Path) -> tuple[Site, Access]:
    site = await Site.open(SiteSettings(data_dir=data_dir, site_name="hillside"))
    return site, await Access.open(site, data_dir)


async def test_tokens_lie_in_files_that_only_the_owner_reads(tmp_path: Path) -> None:
    site, access = await opened(tmp_path)

    for name in ("operator.token", "setup.token"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "setup.token").read_text().strip() == access.setup_token
    await site.close()


async def test_each_start_makes_the_tokens_anew(tmp_path: Path) -> None:
    site, first = await opened(tmp_path)
    operator = (tmp_path / "operator.token").read_text()
    await site.close()

    site, second = await opened(tmp_path)

    assert first.setup_token != second.setup_token
    assert (tmp_path / "operator.token").read_text() != operator
    await site.close()


async def test_the_setup_token_is_gone_once_somebody_used_it(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        assert found.running.access.setup_token is None
        assert not (tmp_path / "hillside" / "setup.token").exists()


async def test_two_first_people_cannot_be_made(tmp_path: Path) -> None:
    site, _ = await opened(tmp_path)
    await site.database.write(lambda c: people.create_first_person(c, "ann", "x", 1))

    with pytest.raises(Refused, match="user of that name"):
        await site.database.write(lambda c: people.create_first_person(c, "bob", "x", 1))
    await site.close()


# --- programs -----------------------------------------------------------------------------------------------------------


async def api(found: Visitor, method: str, path: str, token: str = "", **headers: str) -> httpx2.Response:
    """Ask the API as a program, or with the cookie of the visitor where no token is given."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return await found.http.request(method, f"/api/v1{path}", headers=headers, content=b"{}")


async def test_the_operator_token_opens_everything_without_cookie_or_origin(tmp_path: Path) -> None:
    async with visitor(tmp_path, set_up=False) as found:
        token = (tmp_path / "hillside" / "operator.token").read_text().strip()
        answer = await api(found, "POST", "/connectors", token, **{"Sec-Fetch-Site": "cross-site"})

        assert answer.status_code == 422  # it got in; the body is wrong
        mistyped = token[:-1] + ("x" if token[-1] != "x" else "y")
        assert (await api(found, "GET", "/status", mistyped)).status_code == 401


async def test_a_key_reads_and_posts_and_does_no_more(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        key = await found.running.access.create_key("historian", 90)

        assert (await api(found, "GET", "/status", key)).status_code == 200
        assert (await api(found, "POST", f"{path}/readings", key)).status_code == 200
        refused = await api(found, "POST", "/connectors", key)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_revoked_key_is_a_stranger_at_once(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        access = found.running.access
        key = await access.create_key("historian", None)
        await access.revoke_key(access.keys()[0].key.key_id)

        assert (await api(found, "GET", "/status", key)).status_code == 401


async def test_a_key_outlives_a_restart_and_its_use_is_noted(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        key = await found.running.access.create_key("historian", None)
    async with visitor(tmp_path, set_up=False) as found:
        assert found.running.access.keys()[0].used_ms is None
        assert (await api(found, "GET", "/status", key)).status_code == 200
        assert found.running.access.keys()[0].used_ms is not None


async def test_a_wrong_token_is_not_made_up_for_by_a_cookie(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        assert (await api(found, "GET", "/status")).status_code == 200
        assert (await api(found, "GET", "/status", "phk_nonsense")).status_code == 401


async def test_what_another_web_site_sends_with_our_cookie_is_refused(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}

        assert (await api(found, "POST", "/connectors", **elsewhere)).status_code == 403
        assert (await found.http.post("/connectors", data={"name": "x"}, headers=elsewhere)).status_code == 403
        assert await found.site.connectors() == []


async def test_a_session_ends_with_its_log_out(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found, browsing(found.running) as thief:
        thief.http.cookies.update(found.http.cookies)
        await thief.get("/connectors")
        await found.post("/logout")

        assert (await thief.http.get("/connectors")).status_code == 303


# --- audit --------------------------------------------------------------------------------------------------------------


async def test_the_audit_log_names_who_what_and_from_where(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        path = await found.create("Pump house")
        await found.post(f"{path}/disable")
        rows = await found.site.database.read(people.list_audit)

        assert [(row.who, row.what, row.origin) for row in rows] == [
            ("admin", f"POST {path}/disable", "127.0.0.1"),
            ("admin", "POST /connectors", "127.0.0.1"),
            ("admin", "set up the site", "127.0.0.1"),
        ]


async def test_the_audit_log_takes_no_changes(tmp_path: Path) -> None:
    site, _ = await opened(tmp_path)
    await site.database.write(lambda c: people.add_audit(c, AuditRow(1, "ann", "came", "::1")))

    for statement in ("UPDATE audit SET who = 'bob'", "DELETE FROM audit"):
        with pytest.raises((Misuse, StorageFailed)):
            await run(site.database, statement)
    await site.close()


async def test_an_edit_behind_our_back_breaks_the_chain(tmp_path: Path) -> None:
    site, _ = await opened(tmp_path)
    for number in range(3):
        row = AuditRow(number, "ann", "came", "::1")
        await site.database.write(lambda c, row=row: people.add_audit(c, row))  # type: ignore[misc]
    assert [each.outcome for each in check_audit(site.database.path, people.broken_audit_id)] == ["ok"]

    await run(site.database, "DROP TRIGGER audit_is_never_changed")
    await run(site.database, "UPDATE audit SET who = 'bob' WHERE audit_id = 2")

    (found,) = check_audit(site.database.path, people.broken_audit_id)
    assert (found.outcome, found.what.startswith("entry 2 ")) == ("failed", True)
    await site.close()


async def run(database: Database, statement: str) -> None:
    def unit(connection: sqlite3.Connection) -> None:
        connection.execute(statement)

    await database.write(unit)
