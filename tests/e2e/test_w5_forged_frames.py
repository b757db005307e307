"""W5 and G17 against whoever holds the wire: a lying hub, and a stranger's link, neither part a pair nor change anything.

Beside this file: tests/hub/test_links.py has the hub's word on certificates and dissolutions that do not fit,
tests/hub/test_relay.py on frames of another pair, tests/e2e/test_hub.py on segments, statements and controls that were
altered, swallowed or replayed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from connector.connectors import Pair
from connector.resources import NewResource
from hub.serve import running_hub
from hub.settings import HubSettings
from shared.certificates import Dissolution, Party, new_key, pack, public_bytes, read_pair, sign
from shared.core.completion import PairState
from shared.messages import (
    AnyFrame,
    AskHeld,
    AskStatement,
    ClaimRefused,
    ClaimStep,
    CloseWindow,
    DissolvePair,
    Held,
    HeldEpoch,
    HelloBack,
    Knock,
    Notice,
    OpenWindow,
    PairDissolved,
    PairKnown,
    PeerPresence,
    PresentPair,
    Recorded,
    RecordedEpoch,
    Sealed,
    Statement,
    WindowOpened,
    encode_recorded,
)
from shared.rig.fault_proxy import Direction, FaultProxy, Passed
from shared.sealing import Header, Kind, PairKeys, Side
from tests.connector.site_stage import line, stored
from tests.connector.visitors import Two, Visitor, until, visitor
from tests.hub.builders import TestPair, TestSite
from tests.hub.client import SiteClient, Wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.e2e]

EPOCH: Final = 2**63
NONCE: Final = b"n" * 12


@dataclasses.dataclass
class Guarded:
    """A pair of two sites, each behind a proxy that can speak for the hub."""

    two: Two
    source_id: str
    target_id: str
    proxies: dict[Side, FaultProxy]
    posted: list[float]

    def pair(self, side: Side) -> Pair:
        """Return what a side knows of the pair."""
        found, connector_id = (
            (self.two.source, self.source_id) if side is Side.SOURCE else (self.two.target, self.target_id)
        )
        pair = found.site.pair(connector_id)
        assert pair is not None, f"the {side.word} was parted"
        return pair

    async def forge(self, side: Side, forged: list[AnyFrame]) -> None:
        """Let the hub say all this to one side, after a frame of its own; return when the side was told."""
        told: list[AnyFrame] = []

        async def lie(direction: Direction, frame: AnyFrame) -> list[Passed] | AnyFrame:
            if direction == "up" or told or isinstance(frame, HelloBack):
                return frame
            told.extend(forged)
            return [frame, *forged]

        self.proxies[side].on_frame = lie
        await self.edit()

        async def done() -> bool:
            return bool(told)

        await until(done, "the forgeries to be told")

    async def edit(self) -> None:
        """Post a reading at the source: frames go both ways."""
        self.posted.append(float(len(self.posted) + 1))
        await self.two.source.site.ingest(self.source_id, line("pump", "flow", self.posted[-1]))

    async def expect_whole(self) -> None:
        """Still one pair, at both sides and the hub, with its device; what is posted arrives, and nothing else does."""
        for proxy in self.proxies.values():
            proxy.on_frame = None
        await self.edit()

        async def arrived() -> bool:
            at_target = await stored(self.two.target.site, self.target_id, "flow")
            return [value for _, value in at_target] == self.posted

        await until(arrived, "all that was posted, and nothing else, to be at the target", 30)
        for side in Side:
            assert self.pair(side).state is PairState.PAIRED
        assert self.pair(Side.SOURCE).pair_id == self.pair(Side.TARGET).pair_id
        pairs = await self.two.hub.hub.store.pairs()
        assert [pair.certificate.pair_id for pair in pairs] == [self.pair(Side.SOURCE).pair_id]
        for found, connector_id in ((self.two.source, self.source_id), (self.two.target, self.target_id)):
            connector = await found.site.connector(connector_id)
            assert not connector.disabled
            assert "floor" in await found.get(f"/connectors/{connector_id}/devices/pump")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(
            running_hub(HubSettings(port=0, data_dir=folder / "hub", open_enrolment=True))
        )
        proxies = {side: await stack.enter_async_context(FaultProxy(hub.url)) for side in Side}
        sites: list[Visitor] = [
            await stack.enter_async_context(visitor(folder, name, hub_url=proxies[side].url))
            for side, name in ((Side.SOURCE, "hillside"), (Side.TARGET, "riverside"))
        ]
        two = Two(hub, *sites)
        source_id = (await two.source.site.create_connector("pumps")).connector_id
        target_id = await two.pair(source_id)
        guarded = Guarded(two, source_id, target_id, proxies, [])
        await two.source.site.create_device(source_id, "pump")
        await two.source.site.add_tag(source_id, "pump", "floor", "2")
        await two.source.site.create_resource(source_id, NewResource(alias="flow", format="number", remote_sync=True))

        async def offered() -> bool:
            return any(row.alias == "flow" for row in await two.target.site.resources(target_id))

        await until(offered, "the target to know of the resource")
        await two.target.site.create_resource_like_peer(target_id, "flow")
        await guarded.expect_whole()
        yield guarded


def dissolution(pair_id: bytes, key: Any) -> bytes:
    statement = Dissolution(pair_id, "rolled_back")
    return pack(statement, [sign(key, statement)])


def sealed(keys: PairKeys, kind: Kind, number: int, body: bytes = b"\x91\xc0" * 20) -> Sealed:
    """Seal something with keys of one's own."""
    header, contents = keys.seal(kind, body, epoch=EPOCH, number=number, accepted_ms=1, count=1, nonce=NONCE)
    return Sealed(0, header, contents)


def claimed(pair_id: bytes, side: Side, epochs: list[int]) -> Statement:
    """A statement that everything was applied, by somebody without the keys."""
    header = Header(1, Kind.STATEMENT, side, pair_id, 1, 1, EPOCH, 1, 1, 0, NONCE)
    public = Recorded(b"", True, [RecordedEpoch(epoch, [1, 1_000], []) for epoch in epochs], [(EPOCH, 1_000)])
    return Statement(header.pack(), encode_recorded(public), b"b" * 60)


def lies_about(pair: Pair) -> list[AnyFrame]:
    """What a hub without keys can say of a pair that is not so, and that ends no link."""
    wrong = PairKeys(pair.pair_id, pair.side.other, {1: b"w" * 32})
    mirrored = PairKeys(pair.pair_id, pair.side, {1: b"w" * 32})
    other = PairKeys(b"o" * 16, pair.side.other, {1: b"w" * 32})
    return [
        *(sealed(keys, kind, 1) for keys in (wrong, mirrored, other) for kind in Kind),
        claimed(pair.pair_id, pair.side.other, [EPOCH]),
        claimed(b"o" * 16, pair.side.other, [EPOCH]),
        Held(True, [HeldEpoch(int(Kind.SEGMENT), EPOCH, [1, 1_000])]),
        AskStatement(b"o" * 16, b"n" * 16),
        PairKnown(b"o" * 16, True),
        ClaimRefused(b"c" * 16, "source_paired", {}),
        ClaimStep(b"c" * 16, b"body"),
        Knock(b"c" * 16, b"w" * 16, "stranger", b"body"),
        WindowOpened(b"w" * 16),
        Notice("pair_conflict", {}),
        Notice("certificate_refused", {"why": "the pair is off"}),
        Notice("not_paired", {}),
        PeerPresence(pair.pair_id, False),
        PeerPresence(pair.pair_id, True),
    ]


@pytest.mark.parametrize("side", list(Side), ids=lambda side: side.word)
async def test_w5_a_lying_hub_neither_parts_nor_deletes_nor_writes_anything(guarded: Guarded, side: Side) -> None:
    await guarded.forge(side, lies_about(guarded.pair(side)))
    await guarded.expect_whole()


@pytest.mark.parametrize(
    "who", ["nobody", "a stranger", "the target itself", "the source, of another pair", "the source, of this very pair"]
)
async def test_w5_no_word_of_one_side_alone_parts_a_complete_pair(guarded: Guarded, who: str) -> None:
    """The source's signed word ends a pairing that is pending; a complete pair is ended by both (G16)."""
    pair_id = guarded.pair(Side.SOURCE).pair_id
    source_key = guarded.two.source.site.identity.identity_private
    packed = {
        "nobody": b"garbage",
        "a stranger": dissolution(pair_id, new_key()),
        "the target itself": dissolution(pair_id, guarded.two.target.site.identity.identity_private),
        "the source, of another pair": dissolution(b"o" * 16, source_key),
        "the source, of this very pair": dissolution(pair_id, source_key),
    }[who]
    for side in Side:
        await guarded.forge(side, [PairDissolved(packed)])
    await guarded.expect_whole()


async def test_w5_a_strangers_link_neither_parts_a_pair_nor_speaks_for_it(guarded: Guarded) -> None:
    """A site that enrolled at the same hub, with the certificate, the names and the numbers of somebody else's pair."""
    genuine = guarded.pair(Side.SOURCE)
    certificate = read_pair(genuine.certificate)
    pair_id = certificate.pair_id
    stranger = SiteClient(TestSite("stranger"), guarded.two.hub.url)
    await stranger.enrol()
    own = TestPair(stranger.site, stranger.site, pair_id, "OWN1-OWN1", "OWN2-OWN2")
    key, site = stranger.site.identity_key, stranger.site
    as_source = msgspec.structs.replace(certificate, source=site.party("OWN1-OWN1"))
    as_target = msgspec.structs.replace(certificate, target=site.party("OWN1-OWN1"))
    under_its_id = msgspec.structs.replace(
        certificate, target=Party(certificate.target.site_id, site.name, "OWN1-OWN1", public_bytes(key))
    )
    presented = [
        genuine.certificate,
        own.packed,
        *(pack(forged, [sign(key, forged), sign(key, forged)]) for forged in (as_source, as_target, under_its_id)),
    ]
    async with stranger.linked("OWN1-OWN1") as wire:
        await wire.hear(HelloBack)
        for packed in presented:
            await wire.say(PresentPair(packed))
            refused = await wire.hear(Notice)
            assert refused.code in ("certificate_refused", "pair_conflict")
        for packed in (b"garbage", dissolution(pair_id, key), dissolution(pair_id, new_key())):
            await wire.say(DissolvePair(packed))
            assert (await wire.hear(Notice)).code == "certificate_refused"
        await wire.say(
            *(sealed(PairKeys(pair_id, side, {1: b"w" * 32}), kind, 1) for side in Side for kind in Kind),
            claimed(pair_id, Side.TARGET, [EPOCH]),
            AskStatement(pair_id, b"n" * 16),
            AskHeld(),
            CloseWindow(b"w" * 16),
            ClaimRefused(b"c" * 16, "source_paired", {}),
        )
        await heard(wire)
    await guarded.expect_whole()


async def heard(wire: Wire) -> None:
    """Return when the hub has taken what was said before, or has closed the link because of it."""
    try:
        await wire.say(OpenWindow(b"v" * 16, 180_000))
        await wire.hear(WindowOpened)
    except OSError:
        pass
