"""Notices of repairs (N2) to a real mail server and a real receiver of webhooks: once when raised, once when cleared."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.doctor import examine
from connector.settings import SiteSettings
from hub.serve import running_hub
from hub.settings import HubSettings
from hub.tokens import make_site_token
from shared.clock import SystemClock
from shared.core.repairs import Finding, Repair
from shared.errors import StorageFailed
from shared.limits import NOTICES_WAITING_MAX
from shared.notices import desk as notice_desk
from shared.notices.notice import Notice, Sender, notice_text, repairs_notice, subject_line
from shared.notices.rows import open_repairs
from shared.notices.settings import notice_channels
from shared.self_signed import SelfSigned
from shared.settings import SettingWrong
from tests.connector.receivers import MailBox, Receiver, mail_server, webhook_receiver
from tests.connector.visitors import Visitor, until, visitor

KEY = bytes(range(32))
MAIL_PASSWORD = "MAIL-SECRET-4410"
SECRETS = (MAIL_PASSWORD, base64.b64encode(KEY).decode(), "QUERY-SECRET-7731")


@asynccontextmanager
async def outside(folder: Path) -> AsyncIterator[tuple[Receiver, MailBox, dict[str, Any]]]:
    """Run both ways out; yields them with the settings of a site that uses them."""
    pair = SelfSigned(folder / "mail")
    pair.ensure(("localhost", "127.0.0.1"), SystemClock().wall_ms())
    secret, password = folder / "webhook.secret", folder / "mail.password"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")
    password.write_text(MAIL_PASSWORD + "\n")
    async with webhook_receiver() as receiver, mail_server(pair.cert, pair.key, MAIL_PASSWORD) as box:
        yield (
            receiver,
            box,
            {
                "notices_after_s": 0.0,
                "notices_ca": pair.ca,
                "webhook_url": receiver.url,
                "webhook_secret_file": secret,
                "smtp_host": "localhost",
                "smtp_port": box.port,
                "smtp_user": "pairhub",
                "smtp_password_file": password,
                "smtp_from": "site@example.org",
                "smtp_to": "anna@example.org, ben@example.org",
            },
        )


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between attempts prove nothing."""
    monkeypatch.setattr(notice_desk, "NOTICE_RETRY_FIRST_MS", 50)


@contextmanager
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    # Of these, a daemon logs warnings only (shared.logs); the mail server is the test's own.
    quiet = ("httpx2", "httpcore2", "mail.log", "aiosqlite")
    text = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith(quiet))
    assert "repair raised: not_enrolled" in text
    for secret in SECRETS:
        assert secret not in text


async def knock(found: Visitor) -> str:
    """Let a site want a link, which its hub refuses for want of a token; return its connector."""
    connector_id = (await found.create("Pump house")).split("/")[-1]
    await found.post(f"/connectors/{connector_id}/remote-sync/enable")
    return connector_id


async def test_n2_a_repair_is_told_once_when_raised_and_once_when_cleared_whatever_restarts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        running_hub(HubSettings(port=0, data_dir=tmp_path / "hub")) as hub,
        outside(tmp_path) as (receiver, box, settings),
    ):
        settings["hub_url"] = hub.url
        with no_secret_is_logged(caplog):
            async with visitor(tmp_path, **settings) as found:
                connector_id = await knock(found)
                await receiver.until_told("raised", "not_enrolled")
                await until(lambda: truth(len(box.mails) == 1), "the mail")

            async with visitor(tmp_path, set_up=False, **settings) as found:
                # Raised before, it is not told again, though the hub has refused anew.
                await until(lambda: truth(found.site.enrolment.is_refused), "the hub to refuse again")
                await look(found)
                assert [repair.finding.code for repair in found.site.repairs.open()] == ["not_enrolled"]

                made = await make_site_token(hub.hub, "hillside", who="o", where="")
                await found.site.enrol(made.token)
                await look(found)
                await receiver.until_told("cleared", "not_enrolled")
                await until(lambda: truth(len(box.mails) == 2), "the second mail")

        assert receiver.codes("raised") == ["not_enrolled"]
        assert receiver.codes("cleared") == ["not_enrolled"]
        for headers, body in receiver.posts:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{wanted}"
            assert headers["content-type"] == "application/json"
        first, second = receiver.notices
        assert (first["site"], first["type"], first["raised"][0]["urgent"]) == ("hillside", "repairs", True)
        assert second["cleared"][0]["cleared_ms"] >= first["raised"][0]["since_ms"]
        raised, cleared = box.texts()
        assert raised.startswith("[hillside] URGENT: This site is not enrolled at its hub\n")
        assert "What to do: Type a token of the hub's operator" in raised
        assert cleared.startswith("[hillside] Cleared: This site is not enrolled at its hub\n")
        assert box.mails[0]["To"] == "anna@example.org, ben@example.org"
        assert box.logins[0] == "pairhub"
        assert connector_id not in first["raised"][0]["title"]


async def look(found: Visitor) -> None:
    """Ask /readyz, which looks at all connectors; and at the site."""
    await found.http.get("/readyz")
    found.site.repairs.observe_site()


async def truth(value: bool) -> bool:
    return value


async def test_n2_what_is_not_taken_is_tried_again_over_a_restart_and_shown_until_then(tmp_path: Path) -> None:
    async with outside(tmp_path) as (receiver, box, settings):
        receiver.status, box.refuses = 503, True
        async with visitor(tmp_path, **settings) as found:
            found.site.enrolment.problem, found.site.enrolment.is_refused = "no token", True
            await look(found)
            await until(lambda: truth(receiver.attempts >= 3), "three attempts")
            await until(lambda: truth(all(each.problem for each in found.site.notices.status())), "both to fail")
            text = await found.get("/repairs")
            assert "By webhook Not delivered: the receiver answered 503. It is tried again. 1 waiting." in text
            assert "By e-mail Not delivered: the mail server refused" in text
            status = (await found.http.get("/api/v1/status")).json()
            assert [each["waiting"] for each in status["notices"]] == [1, 1]
            told = await found.post("/repairs/test-notice")
            assert told == "/repairs"
            assert "The test notice by webhook was not delivered: the receiver answered 503." in await found.get(told)

        receiver.status, box.refuses = 200, False
        async with visitor(tmp_path, set_up=False, **settings):
            await receiver.until_told("raised", "not_enrolled")
            await until(lambda: truth(len(box.mails) > 0), "the mail")
        assert receiver.codes("raised") == ["not_enrolled"]


async def test_n2_a_test_notice_says_by_page_and_by_program_what_became_of_it(tmp_path: Path) -> None:
    async with outside(tmp_path) as (receiver, box, settings):
        async with visitor(tmp_path, **settings) as found:
            await found.post("/repairs/test-notice")
            text = await found.get("/repairs")
            assert "The test notice by webhook was delivered." in text
            assert "The test notice by e-mail was delivered." in text
            box.refuses = True
            token = (tmp_path / "hillside" / "operator.token").read_text().strip()
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
                answer = (await http.post(f"{found.running.url}/api/v1/notices/test")).json()
            assert [(each["channel"], bool(each["problem"])) for each in answer] == [
                ("webhook", False),
                ("e-mail", True),
            ]
            assert found.site.repairs.open() == ()  # a single failure is shown beside the channel, not yet a repair
        assert [notice["type"] for notice in receiver.notices] == ["test", "test"]
        assert box.texts()[0].startswith("[hillside] Test notice\n")


async def test_n2_people_are_told_although_the_disk_refuses_to_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver:
        async with visitor(tmp_path, webhook_url=receiver.url, notices_after_s=0.0) as found:
            database, write = found.site.database, found.site.database.write

            async def refused(*_args: Any, **_more: Any) -> Any:
                raise StorageFailed("disk I/O error")

            monkeypatch.setattr(database, "write", refused)
            database._error = "disk I/O error"
            found.site.repairs.observe_site()
            await receiver.until_told("raised", "storage_failed")
            assert (await found.http.get("/readyz")).json()["urgent_repairs"] == ["storage_failed"]

            monkeypatch.setattr(database, "write", write)

            async def stored() -> bool:
                return [row.key for row in await database.read(open_repairs)] == [("storage_failed", "", "")]

            await until(stored, "the repair to be stored")
        assert receiver.codes("raised") == ["storage_failed"]


async def test_n2_the_queue_is_bounded_and_the_oldest_gives_way(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver:
        receiver.status = 500
        async with visitor(tmp_path, webhook_url=receiver.url) as found:
            desk, now_ms = found.site.notices, found.site.clock.wall_ms()
            made = [Notice(f"msg_{at}", "test", now_ms, "s", "i", "") for at in range(NOTICES_WAITING_MAX + 7)]
            for notice in made:
                desk.put(notice)
            (status,) = desk.status()
            assert (status.waiting, status.lost) == (NOTICES_WAITING_MAX, 7)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"webhook_url": "ftp://example.org/hook"}, "webhook_url"),
        ({"webhook_url": "http://hooks..example.org/x"}, "webhook_url"),
        ({"smtp_host": "mail..example.org", "smtp_from": "a@b.org", "smtp_to": "c@d.org"}, "smtp_host"),
        ({"webhook_url": "https://example.org/hook", "webhook_secret_file": "absent"}, "webhook_secret_file"),
        ({"webhook_url": "https://example.org/hook", "webhook_secret_file": "short"}, "webhook_secret_file"),
        ({"smtp_host": "mail", "smtp_to": "anna@example.org"}, "smtp_from"),
        ({"smtp_host": "mail", "smtp_from": "a@b.org", "smtp_to": "anna"}, "smtp_to"),
        ({"smtp_host": "mail", "smtp_from": "a@b.org", "smtp_to": "c@d.org", "smtp_user": "u"}, "smtp_password_file"),
        (
            {"smtp_host": "m", "smtp_from": "a@b.org", "smtp_to": "c@d.org", "smtp_user": "u", "smtp_security": "none",
             "smtp_password_file": "short"},
            "smtp_security",
        ),
        ({"notices_ca": "short"}, "notices_ca"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_notices_is_named_before_anything_is_sent(
    tmp_path: Path, settings: dict[str, Any], wrong: str
) -> None:
    (tmp_path / "short").write_text("whsec_AAAA")
    named = {name: tmp_path / value if name.endswith(("_file", "_ca")) else value for name, value in settings.items()}
    with pytest.raises(SettingWrong) as caught:
        notice_channels(SiteSettings(**named), lambda: 0.0)
    assert caught.value.name == wrong


async def test_n2_the_doctor_looks_at_the_ways_out_before_the_daemon_starts(tmp_path: Path) -> None:
    for url, outcome in (("https://example.org/hook", "ok"), ("example.org", "failed")):
        found = await examine(SiteSettings(data_dir=tmp_path / "site", webhook_url=url))
        assert [each.outcome for each in found if each.check == "notices"] == [outcome]


def test_a_notice_names_many_repairs_and_counts_the_rest() -> None:
    raised = [Repair(Finding("stalled", f"C{at}", facts=(("peer", "p\r\nBcc: x"),)), 0) for at in range(60)]
    sender = Sender("site", "a\r\nb", "i", "")
    notice = repairs_notice("msg_1", at_ms=0, sender=sender, raised=raised, cleared=[raised[0]])

    assert (len(notice.raised), len(notice.cleared), notice.left_out) == (50, 0, 11)
    assert subject_line(notice) == "[a b] URGENT: Nothing moves and 60 more"
    assert "... and 11 more." in notice_text(notice)
