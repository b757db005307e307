"""What a program with the operator token learns of a hub: what moves, what waits, who was turned away, what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.blocked import FLOOD, OTHER, BlockedAttempts, Door
from hub.rates import Relayed, RelayRates
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.limits import BLOCKED_LAST_MAX, MINUTE_MS, NAME_CHARS_MAX
from shared.messages import Claim, ClaimRefused, Hello, HelloBack, Notice, Sealed
from tests.hub.builders import TestSite
from tests.hub.client import Denied, SiteClient, both_linked, enrolled
from tests.hub.test_links import a_pair
from tests.hub.test_relay import sealed


@asynccontextmanager
async def a_hub(tmp_path: Path, **changes: Any) -> AsyncIterator[RunningHub]:
    async with running_hub(HubSettings(port=0, data_dir=tmp_path / "hub", **changes)) as running:
        yield running


async def ask(running: RunningHub, path: str) -> Any:
    token = (running.hub.settings.data_dir / "operator.token").read_text().strip()
    stranger = SiteClient(TestSite("nobody"), running.url)
    return await stranger.ask("GET", path, headers={"Authorization": f"Bearer {token}"})


async def test_status_says_what_moved_within_the_last_minute_and_which_protocol_is_spoken(tmp_path: Path) -> None:
    async with a_hub(tmp_path, open_enrolment=True) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            await left.say(sealed(1), sealed(2))
            for _ in range(2):
                await right.hear(Sealed)
            status = await ask(running, "/api/v1/status")
        (found,) = status["pairs"]
        assert found["relayed_segments"] == 2
        assert found["relayed_bytes_per_s"] > 0
        assert found["relayed_segments_per_s"] > 0
        assert status["totals"]["relayed_bytes_per_s"] == pytest.approx(found["relayed_bytes_per_s"], rel=0.5)
        assert [site["protocol"] for site in status["sites"]] == [1, 1]
        assert status["totals"]["copy_bytes_max"] == running.hub.settings.copy_bytes_max
        assert status["totals"]["disk_free_bytes"] > 0


async def test_what_is_turned_away_is_counted_by_door_and_reason_with_address_and_name(tmp_path: Path) -> None:
    async with a_hub(tmp_path, open_enrolment=True, claims_per_minute=1) as running:
        plant = await enrolled(running, "plant")
        with pytest.raises(Denied, match="assertion_refused"):
            async with SiteClient(TestSite("x", plant.site.site_id), running.url).linked("SRC1-SRC1"):
                pass
        async with plant.linked("SRC1-SRC1", hello=Hello(99, 99, b"start-1")) as wire:
            assert (await wire.hear(Notice)).code == "version_mismatch"
            await wire.close_code()
        async with plant.linked("TGT1-TGT1") as wire:
            await wire.hear(HelloBack)
            await wire.say(Claim(b"c" * 16, "nobody", "SRC9-SRC9", b"body"))
            await wire.hear(ClaimRefused)
            await wire.say(Claim(b"d" * 16, "nobody", "SRC9-SRC9", b"body"))
            assert (await wire.hear(ClaimRefused)).code == "too_many_knocks"
            await wire.say(HelloBack(1, 0, 0))
            await wire.close_code()
        with pytest.raises(Denied, match="certificate_refused"):
            await SiteClient(TestSite("PLANT"), running.url).ask("POST", "/connector/v1/present", {"certificate": "00"})
        with pytest.raises(Denied, match="not_signed_in"):
            await plant.ask("GET", "/api/v1/status")
        blocked = (await ask(running, "/api/v1/status"))["blocked"]
    counted = {(each["door"], each["reason"]): each["count"] for each in blocked["counts"]}
    assert counted == {
        ("link", "assertion_refused"): 1,
        ("link", "version_mismatch"): 1,
        ("link", "protocol_broken"): 1,
        ("pairing", "no_such_window"): 1,
        ("pairing", "too_many_knocks"): 1,
        ("enrolment", "certificate_refused"): 1,
        ("api", "not_signed_in"): 1,
    }
    assert blocked["total"] == 7
    assert {each["address"] for each in blocked["last"]} == {"127.0.0.1"}
    assert blocked["last"][0]["reason"] == "not_signed_in"
    assert {each["who"] for each in blocked["last"] if each["door"] == "link"} == {
        "plant",
        "plant/SRC1-SRC1",
        "plant/TGT1-TGT1",
    }


def test_one_who_tries_a_thousand_times_takes_one_place_and_strange_reasons_share_one() -> None:
    blocked = BlockedAttempts(since_ms=0)
    blocked.note(Door.LOG_IN, "wrong_password", "192.0.2.1", "eve", at_ms=1)
    for at_ms in range(1_000):
        blocked.note(Door.LINK, FLOOD, "192.0.2.2", "plant", at_ms=at_ms)
        blocked.note(Door.PAIRING, f"made up {at_ms}", "192.0.2.3", at_ms=at_ms)
    report = blocked.report()
    assert report.total == 2_001
    assert {each.reason for each in report.counts} == {"wrong_password", FLOOD, OTHER}
    assert [(each.address, each.times) for each in report.last] == [
        ("192.0.2.3", 1_000),
        ("192.0.2.2", 1_000),
        ("192.0.2.1", 1),
    ]
    for n in range(2 * BLOCKED_LAST_MAX):
        blocked.note(Door.LINK, FLOOD, f"2001:db8::{n}", at_ms=n)
    last = blocked.report().last
    assert len(last) == BLOCKED_LAST_MAX
    assert last[0].address == f"2001:db8::{2 * BLOCKED_LAST_MAX - 1}"


def test_a_rate_is_the_mean_of_the_last_minute_and_falls_to_nothing_after_it() -> None:
    rates = RelayRates(now_ms=0)
    assert rates.rate(b"p", Relayed(500, 5), now_ms=10_000).bytes_per_s == 50  # before any sample
    rates.sample({b"p": Relayed(600, 6)}, now_ms=10_000)
    assert rates.rate(b"p", Relayed(600, 6), now_ms=60_000).bytes_per_s == 10
    assert rates.rate(b"p", Relayed(600, 6), now_ms=65_000).segments_per_s == pytest.approx(0.05)  # half of the sample
    assert rates.rate(b"p", Relayed(600, 6), now_ms=70_000).bytes_per_s == 0
    rates.sample({b"p": Relayed(600, 6)}, now_ms=70_000)
    rates.sample({b"p": Relayed(60, 1)}, now_ms=80_000)  # the pair began anew: its counters did, too
    assert rates.rate(b"p", Relayed(60, 1), now_ms=80_000).bytes_per_s == 1
    rates.sample({}, now_ms=81_000)
    assert rates.rate(b"p", Relayed(), now_ms=81_000 + MINUTE_MS).bytes_per_s == 0


async def test_the_audit_is_read_in_pages_newest_first_and_bad_parameters_are_named(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as running:
        for n in range(5):
            await running.hub.store.add_audit(at_ms=n, who="admin", where="::1", action="token.make", what=f"no {n}")
        first = await ask(running, "/api/v1/audit?rows=3")
        rest = await ask(running, f"/api/v1/audit?rows=3&before={first['next_before']}")
        assert [row["number"] for row in first["rows"] + rest["rows"]] == [5, 4, 3, 2, 1]
        assert rest["next_before"] is None
        assert len(first["rows"][0]["chain"]) == 64
        for bad in ("rows=0", "rows=5000", "before=x", "before=-1"):
            with pytest.raises(Denied, match="invalid"):
                await ask(running, f"/api/v1/audit?{bad}")
        with pytest.raises(Denied, match="not_signed_in"):
            await SiteClient(TestSite("nobody"), running.url).ask("GET", "/api/v1/audit")


def test_what_somebody_calls_himself_is_shown_in_one_line_of_characters_that_can_be_sent() -> None:
    blocked = BlockedAttempts(since_ms=0)
    blocked.note(Door.LINK, FLOOD, "192.0.2.1", "plant\n\ud800" + "x" * 500, at_ms=1)
    (attempt,) = blocked.report().last
    assert attempt.who.startswith("plant\\n\\ud800x")
    assert len(attempt.who) == NAME_CHARS_MAX
