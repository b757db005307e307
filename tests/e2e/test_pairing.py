"""Pairing over real sockets: the happy path, and every refusal with its own code and words (W1 to W6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio

from shared.names import make_code
from shared.rig.client import ApiRefused, until
from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import Stage, refusal_of

pytestmark = SAME_LOOP
_WINDOW_MS = 10 * 60_000


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def _knocks_forgotten(stage: Stage) -> None:
    """The hub lets a site claim twenty times a minute; each test begins with all twenty."""
    stage.shift_clocks(60_000)


def wrong(code: str) -> str:
    """Return another well-typed code."""
    other = make_code(b"\x01\x02\x03\x04\x05")
    return other if other != code else make_code(b"\x01\x02\x03\x04\x06")


async def connectors(stage: Stage) -> dict[str, str]:
    """Return name by ID of office's connectors."""
    return {row["connector_id"]: row["name"] for row in await stage.office.get("/connectors")}


async def test_w1_w3_w4_n1_two_sites_pair_and_show_the_same_fingerprint(stage: Stage) -> None:
    source_id = await stage.source()
    window = await stage.window(source_id)
    assert window["state"] == "waiting"
    assert window["attempts_left"] == 3
    target_id = await stage.claim(window)

    async def both() -> Any:
        seen = [await stage.plant.connector(source_id), await stage.office.connector(target_id)]
        return seen if all(one["pair"] and one["pair"]["state"] == "paired" for one in seen) else None

    source, target = await until(both, what="both to be paired")
    assert (source["role"], target["role"]) == ("source", "target")
    assert source["pair"]["fingerprint"] == target["pair"]["fingerprint"]
    assert source["pair"]["pair_id"] == target["pair"]["pair_id"]
    assert (source["pair"]["peer_site"], target["pair"]["peer_site"]) == ("office", "plant")
    assert (source["pair"]["peer_connector"], target["pair"]["peer_connector"]) == (target_id, source_id)
    used = await stage.plant.get(f"/connectors/{source_id}/remote-sync")
    assert (used["state"], used["code"]) == ("used", "")


async def test_the_code_may_be_pasted_as_people_type_it(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    typed = window["code"].lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert await stage.claim(window, code=typed, connector_id=window["connector_id"].lower().replace("-", ""))


async def test_no_such_window_is_said_for_a_wrong_site_or_connector_and_leaves_no_target(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    before = await connectors(stage)
    changes: tuple[dict[str, Any], ...] = ({"site_name": "nowhere"}, {"connector_id": "AAAA-AAAA"})
    for changed in changes:
        code, words = await refusal_of(stage.claim(window, **changed))
        assert code == "no_such_window"
        assert "ENABLE REMOTE-SYNC" in words
    never_opened = {**window, "connector_id": await stage.source()}
    assert (await refusal_of(stage.claim(never_opened)))[0] == "no_such_window"
    assert await connectors(stage) == before
    shown = await stage.plant.get(f"/connectors/{window['connector_id']}/remote-sync")
    assert shown["attempts_left"] == 3


async def test_a_connector_id_that_cannot_be_one_is_told_at_once(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    code, words = await refusal_of(stage.claim(window, connector_id="plant"))
    assert code == "invalid"
    assert "8 letters and digits" in words


async def test_a_mistyped_code_costs_no_attempt(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    code = window["code"]
    for typed in (code[:-1] + ("0" if code[-1] != "0" else "1"), code[:-2], "", code + code, "☃" * 9):
        refused, words = await refusal_of(stage.claim(window, code=typed))
        assert refused == "mistyped_code"
        assert "No attempt was used up" in words
    shown = await stage.plant.get(f"/connectors/{window['connector_id']}/remote-sync")
    assert shown["attempts_left"] == 3
    assert await stage.claim(window)


async def test_three_wrong_codes_are_counted_and_close_the_window(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    before = await connectors(stage)
    answers = [await refusal_of(stage.claim(window, code=wrong(window["code"]))) for _ in range(3)]
    assert [code for code, _ in answers] == ["wrong_code", "wrong_code", "window_closed"]
    assert "(2 attempts left)" in answers[0][1]
    assert "(1 attempts left)" in answers[1][1]
    assert "three wrong codes" in answers[2][1]
    code, _ = await refusal_of(stage.claim(window))
    assert code in ("window_closed", "no_such_window")
    assert await connectors(stage) == before
    shown = await stage.plant.get(f"/connectors/{window['connector_id']}/remote-sync")
    assert (shown["state"], shown["code"], shown["attempts_left"]) == ("closed", "", 0)
    # W2: ENABLE again starts afresh.
    assert await stage.claim(await stage.window(window["connector_id"]))


async def test_w2_a_claim_is_refused_after_the_window_expired_and_enable_starts_again(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    before = await connectors(stage)
    stage.shift_clocks(_WINDOW_MS + 1_000)
    code, words = await refusal_of(stage.claim(window))
    assert code == "window_expired"
    assert "has expired" in words
    shown = await stage.plant.get(f"/connectors/{window['connector_id']}/remote-sync")
    assert (shown["state"], shown["code"]) == ("expired", "")
    assert await connectors(stage) == before
    assert await stage.claim(await stage.window(window["connector_id"]))


async def test_a_window_closed_by_its_operator_takes_no_claim(stage: Stage) -> None:
    source_id = await stage.source()
    window = await stage.window(source_id)
    await stage.plant.ask("DELETE", f"/connectors/{source_id}/remote-sync")
    assert (await refusal_of(stage.claim(window)))[0] == "no_such_window"


async def test_w6_a_paired_source_takes_no_second_target(stage: Stage) -> None:
    pair = await stage.pair()
    shown = {"site_name": "plant", "connector_id": pair.source_id, "code": make_code(b"12345")}
    code, words = await refusal_of(stage.claim(shown))
    assert code == "source_paired"
    assert "One source pairs with one target" in words
    code, words = await refusal_of(stage.plant.post(f"/connectors/{pair.source_id}/remote-sync"))
    assert code == "source_paired"


async def test_w6_a_paired_target_claims_no_second_source(stage: Stage) -> None:
    pair = await stage.pair()
    window = await stage.window(await stage.source())
    body = {name: window[name] for name in ("site_name", "connector_id", "code")}
    code, words = await refusal_of(stage.office.post(f"/connectors/{pair.target_id}/claim", body))
    assert code == "target_paired"
    assert "Create another connector" in words
    code, _ = await refusal_of(stage.office.post(f"/connectors/{pair.target_id}/remote-sync"))
    assert code in ("source_paired", "not_source", "target_paired")


async def test_a_connector_is_not_paired_with_itself(stage: Stage) -> None:
    source_id = await stage.source()
    window = await stage.window(source_id)
    body = {name: window[name] for name in ("site_name", "connector_id", "code")}
    code, words = await refusal_of(stage.plant.post(f"/connectors/{source_id}/claim", body))
    assert code == "same_connector"
    assert "two different connectors" in words


async def test_w5_a_paired_connector_is_neither_disabled_nor_deleted(stage: Stage) -> None:
    pair = await stage.pair()
    for site, connector_id in ((stage.plant, pair.source_id), (stage.office, pair.target_id)):
        for method, path in (
            ("POST", f"/connectors/{connector_id}/disable"),
            ("DELETE", f"/connectors/{connector_id}"),
        ):
            code, words = await refusal_of(site.ask(method, path))
            assert code == "still_paired"
            assert "Parting needs both sides" in words
        shown = await site.connector(connector_id)
        assert shown["disabled"] is False
        assert shown["pair"]["state"] == "paired"


async def test_w6_of_two_targets_that_race_for_one_source_exactly_one_wins(stage: Stage) -> None:
    for _ in range(3):
        source_id = await stage.source()
        window = await stage.window(source_id)
        before = await connectors(stage)
        answers = await asyncio.gather(
            stage.claim(window), stage.claim(window), stage.claim(window, stage.plant), return_exceptions=True
        )
        winners = [answer for answer in answers if isinstance(answer, str)]
        losers = [answer for answer in answers if isinstance(answer, ApiRefused)]
        assert len(winners) == 1
        assert len(losers) == 2
        assert {loser.code for loser in losers} <= {"source_busy", "source_paired", "no_such_window"}
        assert all(str(loser) for loser in losers)
        paired = await until_paired(stage, source_id)
        assert paired["pair"]["peer_connector"] == winners[0]
        at_office = set(await connectors(stage)) - set(before)
        assert at_office <= {winners[0]}


async def test_a_site_that_claims_too_often_is_told_to_wait(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    codes = [(await refusal_of(stage.claim(window, site_name="nowhere")))[0] for _ in range(20)]
    assert set(codes) == {"no_such_window"}
    code, words = await refusal_of(stage.claim(window))
    assert code == "too_many_knocks"
    assert "Wait a minute" in words
    stage.shift_clocks(60_000)
    assert await stage.claim(window)


async def until_paired(stage: Stage, source_id: str) -> Any:
    """Wait until plant says that a source is paired."""

    async def paired() -> Any:
        seen = await stage.plant.connector(source_id)
        return seen if seen["pair"] and seen["pair"]["state"] == "paired" else None

    return await until(paired, what="the source to be paired")


async def test_where_the_hub_is_down_the_claim_says_so_and_no_target_stays(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    before = await connectors(stage)
    stage.office.proxy.cut()
    code, words = await refusal_of(stage.claim(window))
    assert code == "hub_not_reachable"
    assert "Check the hub address" in words
    assert await connectors(stage) == before
    stage.office.proxy.mend()
    assert await stage.claim(window)


async def test_where_the_source_is_not_linked_the_claim_says_so(stage: Stage) -> None:
    window = await stage.window(await stage.source())
    before = await connectors(stage)
    stage.plant.proxy.cut()

    async def gone() -> bool:
        linked = [row["linked"] for row in (await stage.hub_status())["connectors"] if row["site_name"] == "plant"]
        return not any(linked)

    await until(gone, what="the hub to notice")
    code, words = await refusal_of(stage.claim(window))
    assert code == "peer_not_linked"
    assert "not linked to the hub" in words
    assert await connectors(stage) == before
