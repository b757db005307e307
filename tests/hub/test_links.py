"""The hub over real sockets: joining, linking, relaying, and what it refuses."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared.limits import DISPLACEMENTS_MAX, WINDOW_MS
from shared.messages import (
    AskHeld,
    Claim,
    ClaimRefused,
    ClaimStep,
    DissolvePair,
    Held,
    HeldEpoch,
    Hello,
    HelloBack,
    Knock,
    Notice,
    OpenWindow,
    PairDissolved,
    PairKnown,
    PairParted,
    PartPair,
    PeerPresence,
    PresentPair,
    Sealed,
    Statement,
    WindowOpened,
)
from shared.sealing import Kind, Side
from tests.hub.builders import TestPair, TestSite
from tests.hub.client import Denied, SiteClient, both_linked, enrolled
from tests.hub.test_relay import EPOCH, PAIR, sealed, statement


def settings(tmp_path: Path, *, open_enrolment: bool = True, port: int = 0) -> HubSettings:
    return HubSettings(port=port, data_dir=tmp_path / "hub", open_enrolment=open_enrolment)


async def a_pair(running: RunningHub, pair_id: bytes = PAIR) -> TestPair:
    names = (f"plant {pair_id.hex()[:4]}", f"office {pair_id.hex()[:4]}")
    source, target = [await enrolled(running, name) for name in names]
    return TestPair(source.site, target.site, pair_id)


async def denial(client: SiteClient, connector_id: str = "SRC1-SRC1", **options: object) -> tuple[int, str]:
    with pytest.raises(Denied) as caught:
        async with client.linked(connector_id, **options):  # type: ignore[arg-type]
            pass
    return caught.value.status, caught.value.code


# --- joining ---------------------------------------------------------------------------------------------------------


async def test_a_site_enrols_by_token_and_links(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path, open_enrolment=False)) as running:
        plant = SiteClient(TestSite("plant"), running.url)
        operator = {"Authorization": "Bearer " + (tmp_path / "hub" / "operator.token").read_text().strip()}
        made = await plant.ask("POST", "/api/v1/enrolment-tokens", {"site_name": "plant"}, operator)
        for token, code in (("", "token_required"), ("phe_nonsense", "token_unknown")):
            with pytest.raises(Denied, match=code):
                await plant.enrol(token)
        await plant.enrol(made["token"])
        async with plant.linked("SRC1-SRC1") as wire:
            back = await wire.hear(HelloBack)
            assert back.version == 1
        with pytest.raises(Denied, match="token_used"):
            await SiteClient(TestSite("plant two"), running.url).enrol(made["token"])
        await plant.enrol("")  # the very same site: its answer may have been lost


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"site_id": "not a uuid"}, "assertion_refused"),
        ({"site_name": " plant"}, "invalid"),
        ({"hub_key": "00" * 32}, "assertion_refused"),
        ({"identity_key": "zz"}, "invalid"),
        ({"proof": "nonsense"}, "assertion_refused"),
    ],
)
async def test_an_enrolment_that_is_not_right_is_refused(tmp_path: Path, changes: dict[str, str], code: str) -> None:
    async with running_hub(settings(tmp_path)) as running:
        with pytest.raises(Denied, match=code):
            await SiteClient(TestSite("plant"), running.url).enrol(**changes)


async def test_a_replayed_nonce_is_refused(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        assertion = plant.assertion("SRC1-SRC1", await plant.nonce())
        async with plant.linked("SRC1-SRC1", assertion=assertion):
            pass
        assert await denial(plant, assertion=assertion) == (401, "assertion_refused")


async def test_a_wrong_key_an_unknown_site_and_a_browser_are_refused_before_the_upgrade(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        thief = SiteClient(TestSite("plant", site_id=plant.site.site_id), running.url)
        assert await denial(thief) == (401, "assertion_refused")
        assert await denial(SiteClient(TestSite("nobody"), running.url)) == (401, "site_unknown")
        assert await denial(plant, headers={"Origin": "http://evil.example"}) == (403, "browser_origin")
        assert await denial(plant, headers={"Pairhub-Start": "zz"}) == (401, "assertion_refused")
        assert await denial(plant, "") == (401, "assertion_refused")


async def test_a_link_for_what_is_no_connector_id_is_refused(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        client = await enrolled(running, "plant")
        for connector_id in ("", "\ud800", "A\nB", "A B", "x" * 65):
            with pytest.raises(Denied, match="assertion_refused"):
                async with client.linked(connector_id):
                    pass
        assert running.hub.links == {}


async def test_a_plain_get_is_told_that_the_upgrade_is_missing(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        with pytest.raises(Denied, match="upgrade_missing"):
            await SiteClient(TestSite("plant"), running.url).ask("GET", "/connector/v1/link")


async def test_revoking_a_site_closes_its_links_and_keeps_it_out(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        async with plant.linked("SRC1-SRC1") as wire:
            await wire.hear(HelloBack)
            async with asyncio.timeout(1):
                assert await running.hub.revoke(plant.site.site_id, who="admin", where="192.0.2.1")
                assert (await wire.close_code())[0] == 4003
        assert await denial(plant) == (403, "site_revoked")
        with pytest.raises(Denied, match="site_revoked"):
            await plant.present()


# --- links -----------------------------------------------------------------------------------------------------------


async def test_a_newer_link_displaces_the_older(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        async with plant.linked("SRC1-SRC1", start_id=b"a") as older:
            await older.hear(HelloBack)
            async with plant.linked("SRC1-SRC1", start_id=b"b") as newer:
                await newer.hear(HelloBack)
                assert (await older.close_code())[0] == 4001
                await newer.say(OpenWindow(b"window-1", 60_000))
                await newer.hear(WindowOpened)


async def test_two_live_copies_that_displace_each_other_are_told_apart(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        opened = []
        for turn in range(DISPLACEMENTS_MAX + 2):
            context = plant.linked("SRC1-SRC1", start_id=b"a" if turn % 2 == 0 else b"b")
            wire = await context.__aenter__()
            opened.append(context)
            await wire.hear(HelloBack)
        assert await denial(plant, start_id=b"b") == (409, "duplicate_instance")
        for context in opened:
            await context.__aexit__(None, None, None)


async def test_versions_that_do_not_overlap_are_named(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        async with plant.linked("SRC1-SRC1", hello=Hello(7, 9, b"start-1")) as wire:
            notice = await wire.hear(Notice)
            assert (notice.code, notice.facts["theirs"]) == ("version_mismatch", "7 to 9")
            assert (await wire.close_code())[0] == 1008


async def test_a_link_that_breaks_the_protocol_is_closed_and_others_go_on(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            rogue = SiteClient(pair.source, running.url)
            async with rogue.linked("BAD1-BAD1") as wire:
                await wire.hear(HelloBack)
                await wire.socket.send(b"\xc1 not MessagePack")
                assert (await wire.close_code())[0] == 1007
            async with rogue.linked("BAD1-BAD1") as wire:
                await wire.say(PairKnown(PAIR, True))
                assert (await wire.close_code())[0] == 1002
            async with rogue.linked("BAD1-BAD1") as wire:
                await wire.say(Notice("x" * 200_000, {}))
                assert (await wire.close_code())[0] == 1009
            async with rogue.linked("BAD1-BAD1", hello=Hello(1, 1, b"another")) as wire:
                assert (await wire.close_code())[0] == 1002
            await left.say(sealed(1))
            assert await right.hear(Sealed) == sealed(1)


# --- relaying --------------------------------------------------------------------------------------------------------


async def test_frames_pass_both_ways_and_statements_come_back(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            assert (await left.hear(PeerPresence)).linked
            await left.say(sealed(1))
            assert await right.hear(Sealed) == sealed(1)
            await right.say(statement(1, 1), sealed(1, side=Side.TARGET, kind=Kind.CONTROL, lane=0))
            assert await left.hear(Statement) == statement(1, 1)
            assert await left.hear(Sealed) == sealed(1, side=Side.TARGET, kind=Kind.CONTROL, lane=0)


async def test_g17_of_two_pairs_at_one_hub_each_hears_its_own_frames_only(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        one, other = await a_pair(running), await a_pair(running, b"q" * 16)
        async with both_linked(one, running.url) as (left, right), both_linked(other, running.url) as others:
            for number, wire, pair in ((1, others[0], other), (2, left, one)):
                await wire.say(sealed(number, pair=pair.pair_id))
            assert await others[1].hear(Sealed) == sealed(1, pair=other.pair_id)
            assert await right.hear(Sealed) == sealed(2, pair=one.pair_id)


async def test_what_came_while_the_peer_was_away_survives_a_restart_and_is_delivered(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source = SiteClient(pair.source, running.url)
        async with source.linked(pair.source_connector) as left:
            assert not (await left.show(pair)).peer_linked
            await left.say(sealed(1), sealed(2))
            held: list[HeldEpoch] = []
            while held != [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 2])]:
                await left.say(AskHeld())
                held = (await left.hear(Held)).epochs
    async with running_hub(settings(tmp_path)) as running:
        target = SiteClient(pair.target, running.url)
        async with target.linked(pair.target_connector) as right:
            await right.show(pair)
            assert [(await right.hear(Sealed)).header, (await right.hear(Sealed)).header] == [
                sealed(1).header,
                sealed(2).header,
            ]
            await right.say(statement(1, 2))
            source = SiteClient(pair.source, running.url)
            async with source.linked(pair.source_connector) as left:
                await left.show(pair)
                assert await left.hear(Held) == Held(True, [])


async def test_a_hub_told_to_stop_stores_what_is_in_memory_and_says_come_back(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            await left.say(sealed(1))
            await right.hear(Sealed)
            async with asyncio.timeout(5):
                await asyncio.gather(running.stop(), left.close_code(), right.close_code())
            assert (await left.close_code())[0] == 1012
    async with running_hub(settings(tmp_path)) as running:
        assert (await running.hub.store.held(PAIR))[Side.SOURCE] == [HeldEpoch(Kind.SEGMENT, EPOCH, [1, 1])]


async def test_a_hub_that_loses_its_data_directory_while_running_gets_its_pairs_back(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant, office = await enrolled(running, "plant"), await enrolled(running, "office")
        pair = TestPair(plant.site, office.site)
        async with both_linked(pair, running.url) as (left, right):
            shutil.rmtree(tmp_path / "hub")
            async with asyncio.timeout(5):
                assert (await left.close_code())[0] == 1012
                assert (await right.close_code())[0] == 1012
        assert await denial(plant) == (401, "site_unknown")
        await plant.present()
        await office.present()
        async with both_linked(pair, running.url) as (left, right):
            await left.say(sealed(1))
            assert await right.hear(Sealed) == sealed(1)
        assert len(await running.hub.store.pairs()) == 1
        assert (tmp_path / "hub" / "operator.token").exists()


async def test_a_certificate_of_another_hub_is_refused(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path / "a")) as one, running_hub(settings(tmp_path / "b")) as other:
        plant = await enrolled(one, "plant")
        plant.url = other.url
        with pytest.raises(Denied, match="certificate_refused"):
            await plant.present()


# --- pairing ---------------------------------------------------------------------------------------------------------


async def test_a_claim_passes_between_the_two_and_refusals_come_back(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant, office = await enrolled(running, "plant"), await enrolled(running, "office")
        async with plant.linked("SRC1-SRC1") as source, office.linked("TGT1-TGT1") as target:
            await target.say(Claim(b"claim--1", "plant", "SRC1-SRC1", b"offer"))
            assert (await target.hear(ClaimRefused)).code == "no_such_window"
            await source.say(OpenWindow(b"window-1", 60_000))
            await source.hear(WindowOpened)
            await target.say(Claim(b"claim--2", "plant", "SRC1-SRC1", b"offer"))
            assert await source.hear(Knock) == Knock(b"claim--2", b"window-1", "office", b"offer")
            await source.say(ClaimStep(b"claim--2", b"counter"))
            assert await target.hear(ClaimStep) == ClaimStep(b"claim--2", b"counter")
            await source.say(ClaimRefused(b"claim--2", "wrong_code", {"attempts_left": "2"}))
            assert (await target.hear(ClaimRefused)).facts == {"attempts_left": "2"}


async def test_the_claim_of_a_target_that_goes_away_ends_at_the_source(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant, office = await enrolled(running, "plant"), await enrolled(running, "office")
        async with plant.linked("SRC1-SRC1") as source:
            await source.say(OpenWindow(b"window-1", 60_000))
            await source.hear(WindowOpened)
            async with office.linked("TGT1-TGT1") as target:
                await target.say(Claim(b"claim--1", "plant", "SRC1-SRC1", b"offer"))
                await source.hear(Knock)
            assert (await source.hear(ClaimRefused)).code == "peer_not_linked"


async def test_of_two_targets_that_race_for_a_source_exactly_one_wins(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant = await enrolled(running, "plant")
        rivals = [await enrolled(running, f"office {n}") for n in range(4)]
        pairs = [TestPair(plant.site, rival.site, bytes([n + 1]) * 16) for n, rival in enumerate(rivals)]

        async def present(rival: SiteClient, pair: TestPair) -> str:
            async with rival.linked(pair.target_connector) as wire:
                await wire.say(PresentPair(pair.packed))
                frame = await wire.hear(PairKnown | Notice)  # type: ignore[arg-type]
                return frame.code if isinstance(frame, Notice) else "known"

        answers = await asyncio.gather(*(present(*both) for both in zip(rivals, pairs, strict=True)))
        assert sorted(answers) == ["known", *["pair_conflict"] * 3]


async def test_a_pair_is_refused_where_keys_or_connector_do_not_fit(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        plant, office = await enrolled(running, "plant"), await enrolled(running, "office")
        imposter = TestSite("plant", site_id=plant.site.site_id)
        async with office.linked("TGT1-TGT1") as wire:
            await wire.say(PresentPair(TestPair(imposter, office.site).packed))
            assert (await wire.hear(Notice)).code == "certificate_refused"
            await wire.say(PresentPair(b"garbage"))
            assert (await wire.hear(Notice)).code == "certificate_refused"
        async with office.linked("OTHER-1") as wire:
            await wire.say(PresentPair(TestPair(plant.site, office.site).packed))
            assert (await wire.hear(Notice)).code == "certificate_refused"
        assert await running.hub.store.pairs() == []


async def test_a_pair_that_a_rogue_signed_alone_for_a_site_of_anothers_name_takes_nothing_of_that_site(
    tmp_path: Path,
) -> None:
    async with running_hub(settings(tmp_path)) as running:
        victim, friend, rogue = [await enrolled(running, name) for name in ("plant", "office", "rogue")]
        forged = TestPair(TestSite("plant"), rogue.site, b"F" * 16, target_connector="BAD1-BAD1")
        async with victim.linked("SRC1-SRC1") as source, rogue.linked("BAD1-BAD1") as other:
            await source.say(OpenWindow(b"window-1", WINDOW_MS))
            await source.hear(WindowOpened)
            await other.show(forged)
            async with friend.linked("TGT1-TGT1") as target:
                await target.say(Claim(b"claim--1", "plant", "SRC1-SRC1", b"offer"))
                await source.hear(Knock)
    async with running_hub(settings(tmp_path)) as running:
        victim.url = friend.url = running.url
        async with victim.linked("SRC1-SRC1") as source, friend.linked("TGT1-TGT1") as target:
            await source.say(OpenWindow(b"window-2", WINDOW_MS))
            await source.hear(WindowOpened)
            await target.say(Claim(b"claim--2", "plant", "SRC1-SRC1", b"offer"))
            await source.hear(Knock)


async def test_a_pair_that_a_rogue_signed_for_a_site_still_to_come_gives_way_to_that_sites_real_pair(
    tmp_path: Path,
) -> None:
    async with running_hub(settings(tmp_path)) as running:
        victim, friend, rogue = [SiteClient(TestSite(name), running.url) for name in ("plant", "office", "rogue")]
        await rogue.enrol()
        ghost = TestSite("plant", site_id=victim.site.site_id)
        async with rogue.linked("BAD1-BAD1") as other:
            await other.show(TestPair(ghost, rogue.site, b"F" * 16, target_connector="BAD1-BAD1"))
            await victim.enrol()
            await friend.enrol()
            async with both_linked(TestPair(victim.site, friend.site), running.url) as (left, right):
                await left.say(sealed(1))
                assert await right.hear(Sealed) == sealed(1)


async def test_a_site_has_so_many_links_and_pairs_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.hub.LINKS_PER_SITE_MAX", 2)
    monkeypatch.setattr("hub.store.registry_sql.PAIRS_PER_SITE_MAX", 1)
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        rogue = await enrolled(running, "rogue")
        async with rogue.linked("BAD1-BAD1") as one, rogue.linked("BAD2-BAD2") as two:
            await one.show(TestPair(TestSite("one"), rogue.site, b"1" * 16, target_connector="BAD1-BAD1"))
            await two.say(
                PresentPair(TestPair(TestSite("two"), rogue.site, b"2" * 16, target_connector="BAD2-BAD2").packed)
            )
            assert (await two.hear(Notice)).code == "too_many_of_site"
            assert await denial(rogue, "BAD3-BAD3") == (409, "too_many_of_site")
            async with both_linked(pair, running.url):
                pass


async def test_a_site_that_opens_its_links_first_and_says_hello_later_has_no_more_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.hub.LINKS_PER_SITE_MAX", 2)
    async with running_hub(settings(tmp_path)) as running, AsyncExitStack() as stack:
        rogue = await enrolled(running, "rogue")
        wires = [await stack.enter_async_context(rogue.linked(f"BAD{n}", greets=False)) for n in range(4)]
        heard: list[object] = []
        for wire in wires:
            await wire.say(Hello(1, 1, b"start-1"))
            heard.append(await wire.hear_any())
        assert [type(frame) for frame in heard] == [HelloBack, HelloBack, Notice, Notice]
        assert (await wires[3].close_code()) == (1008, "too_many_of_site")
        assert len(running.hub.links) == 2
        again = await stack.enter_async_context(rogue.linked("BAD1"))  # one that it has may come anew
        assert isinstance(await again.hear_any(), HelloBack)


async def test_a_dissolved_pair_is_gone_for_both_now_and_later(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            await right.say(DissolvePair(pair.dissolution))
            assert (await right.hear(Notice)).code == "certificate_refused"
            await left.say(DissolvePair(pair.dissolution))
            for wire in (left, right):
                assert await wire.hear(PairDissolved) == PairDissolved(pair.dissolution)
            await right.say(PresentPair(pair.packed))
            assert await right.hear(PairDissolved) == PairDissolved(pair.dissolution)
        assert await running.hub.store.pairs() == []


async def test_a_target_that_was_away_hears_of_the_dissolution_when_it_presents(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source, target = SiteClient(pair.source, running.url), SiteClient(pair.target, running.url)
        async with source.linked(pair.source_connector) as left:
            await left.say(DissolvePair(pair.dissolution), AskHeld(), OpenWindow(b"window-1", 60_000))
            await left.hear(WindowOpened)
        async with target.linked(pair.target_connector) as right:
            await right.say(PresentPair(pair.packed))
            assert await right.hear(PairDissolved) == PairDissolved(pair.dissolution)


# --- parting on purpose (G16) ----------------------------------------------------------------------------------------


async def test_n11_a_parting_frees_both_connectors_and_both_hear_of_it(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        async with both_linked(pair, running.url) as (left, right):
            await left.say(PartPair(pair.packed, pair.parting()))
            for wire in (left, right):
                assert await wire.hear(PairParted) == PairParted(pair.parting(), known_by_both=False)
            assert await running.hub.store.pairs() == []
            await left.say(OpenWindow(b"window-1", 60_000))
            await left.hear(WindowOpened)
            await right.say(PartPair(pair.packed, pair.parting()))
            for wire in (left, right):
                assert await wire.hear(PairParted) == PairParted(pair.parting(), known_by_both=True)


async def test_n11_a_side_that_was_away_hears_of_the_parting_when_it_presents(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        source, target = SiteClient(pair.source, running.url), SiteClient(pair.target, running.url)
        async with target.linked(pair.target_connector) as right:
            await right.say(PartPair(pair.packed, pair.parting()))
            await right.hear(PairParted)
        again = TestPair(pair.source, pair.target, b"n" * 16, target_connector="TGT2-TGT2")
        async with source.linked(pair.source_connector) as left:
            await left.say(PresentPair(pair.packed))
            assert await left.hear(PairParted) == PairParted(pair.parting(), known_by_both=False)
            await left.say(PresentPair(again.packed))
            await left.hear(PairKnown)
            # The old parting, told once more, does not touch the new pair.
            await left.say(PartPair(pair.packed, pair.parting()))
            assert (await left.hear(PairParted)).known_by_both
            assert [kept.certificate for kept in await running.hub.store.pairs()] == [again.certificate]


def beside(packed: bytes) -> bytes:
    """The same words and signatures, with something behind that nobody signed."""
    return msgspec.msgpack.encode([*msgspec.msgpack.decode(packed), b"x" * 9_000])


async def test_n11_a_forged_or_one_sided_parting_changes_nothing(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        stranger = await enrolled(running, "stranger")
        forged = [
            PartPair(pair.packed, pair.parting(pair.source)),
            PartPair(pair.packed, pair.parting(pair.source, stranger.site)),
            PartPair(pair.packed, pair.parting(pair.target, pair.source)),
            PartPair(pair.packed, pair.dissolution),
            PartPair(b"garbage", pair.parting()),
            PartPair(pair.packed, beside(pair.parting())),
            PartPair(beside(pair.packed), pair.parting()),
            PartPair(pair.packed, pair.parting(part_id=b"q" * 12_000)),
            PartPair(pair.packed, b"x" * 100_000),
        ]
        async with both_linked(pair, running.url) as (left, right), stranger.linked("OTHER-1") as outside:
            for wire, frames in ((left, forged), (right, forged), (outside, [PartPair(pair.packed, pair.parting())])):
                for frame in frames:
                    await wire.say(frame)
                    assert (await wire.hear(Notice)).code == "certificate_refused"
            assert [kept.certificate for kept in await running.hub.store.pairs()] == [pair.certificate]
            await left.say(sealed(1))
            await right.hear(Sealed)


# --- for programs ----------------------------------------------------------------------------------------------------


async def test_health_readiness_and_status(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        pair = await a_pair(running)
        client = SiteClient(pair.source, running.url)
        assert await client.ask("GET", "/healthz") == {"status": "ok"}
        assert (await client.ask("GET", "/readyz"))["status"] == "ready"
        with pytest.raises(Denied, match="not_signed_in"):
            await client.ask("GET", "/api/v1/status")
        operator = {"Authorization": "Bearer " + (tmp_path / "hub" / "operator.token").read_text().strip()}
        async with both_linked(pair, running.url) as (left, _):
            await left.say(sealed(1))
            status = await client.ask("GET", "/api/v1/status", headers=operator)
        assert [site["links"] for site in status["sites"]] == [1, 1]
        assert [(c["role"], c["linked"]) for c in status["connectors"]] == [("target", True), ("source", True)]
        assert (status["pairs"][0]["source_linked"], status["pairs"][0]["target_linked"]) == (True, True)


async def test_the_key_lies_beside_the_data_directory_for_its_owner_only(tmp_path: Path) -> None:
    async with running_hub(settings(tmp_path)) as running:
        first = running.hub.hub_key
        key_file = tmp_path / "hub.key"
        assert key_file.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "hub" / "operator.token").stat().st_mode & 0o777 == 0o600
    async with running_hub(settings(tmp_path)) as running:
        assert running.hub.hub_key == first
