"""What a partner turned hostile, or a later release of it, sends under good seals: kept aside and passed (G7, G12)."""

from __future__ import annotations

import msgspec
import pytest
import zstandard

from connector.streams import Streams
from shared.core.account import Apart
from shared.core.cells import Cell, digest
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect, Fault, Relink
from shared.core.entries import (
    AnsweredEntry,
    CellsEntry,
    CreateResourceEntry,
    Definition,
    DefinitionsEntry,
    Entry,
    EpochsOverEntry,
    GapEntry,
    GapNotice,
    GapRow,
    Private,
    ReplayAskEntry,
    ReplayStateEntry,
    StatedEpoch,
    decode_entry,
    encode_entry,
)
from shared.core.fields import EXISTS, device_object, fields_object
from shared.core.ledger import Ledger
from shared.core.ports import Change
from shared.core.replay_job import ReplayAsk, StatedReplay, encode_replayed
from shared.errors import ProtocolError
from shared.limits import EPOCHS_STATED_MAX, QUARANTINE_TRY_EVERY_MS
from shared.messages import (
    LANE_CONTROL,
    LANE_LIVE,
    Credit,
    Recorded,
    RecordedEpoch,
    Sealed,
    Statement,
    decode_frame,
    decode_recorded,
    encode_frame,
    encode_recorded,
)
from shared.sealing import NONCE_BYTES, Header, Kind, Side
from tests.core.stores import CODEC, NOW_MS, chance, keys, open_store, rows, series

DEEP = 3_000
LARGE = 2**63
LONG = "1" * 320
NONCE = b"n" * NONCE_BYTES


def linked(side: Side) -> tuple[PairEngine, Streams]:
    """An engine whose link is open."""
    store = open_store()
    engine = PairEngine(keys=keys(side), site_id="me", chance=chance().randbytes)
    engine.load(store, NOW_MS)
    engine.on_link_opened(store, peer_linked=True, credit_bytes=1_000_000, now_ms=NOW_MS)
    return engine, store


def packed_deep(packed: bytes) -> bytes:
    """The same array with one more element: arrays in one another."""
    elements = msgspec.msgpack.decode(packed, type=list[msgspec.Raw])
    return msgspec.msgpack.encode([*elements, msgspec.Raw(b"\x91" * DEEP + b"\xc0")])


def sealed_entry(plain: bytes, sender: Side, number: int = 1) -> Sealed:
    sealed = keys(sender).seal(Kind.CONTROL, plain, epoch=7, number=number, accepted_ms=NOW_MS, count=0, nonce=NONCE)
    return Sealed(LANE_CONTROL, *sealed)


def sealed_segment(plain: bytes, number: int = 1) -> Sealed:
    sealed = keys(Side.SOURCE).seal(
        Kind.SEGMENT, plain, epoch=3, number=number, accepted_ms=NOW_MS, count=1, nonce=NONCE
    )
    return Sealed(LANE_LIVE, *sealed)


def take(engine: PairEngine, store: Streams, *frames: Sealed | Statement) -> list[Effect]:
    """One unit of work, and its end."""
    effects = [effect for frame in frames for effect in engine.on_frame(store, frame, NOW_MS)]
    return effects + engine.flush(store, NOW_MS)


def applied_up_to(store: Streams) -> int:
    return store.control_in().get(7, 0)


def goes_on(engine: PairEngine, store: Streams, after: int, sender: Side) -> None:
    """The next entry is applied, and the next segment too."""
    good = Cell(device_object("later"), EXISTS, "1", 1, 0, NOW_MS, "s", sender.value)
    frames: list[Sealed | Statement] = [sealed_entry(encode_entry(CellsEntry([good])), sender, after + 1)]
    take(engine, store, *frames)
    assert applied_up_to(store) == after + 1
    assert store.cell(good.object, good.field) == good


@pytest.mark.parametrize(
    "plain",
    [
        encode_entry(DefinitionsEntry([Definition("flow", "number", "", "[" * DEEP, False, True)])),
        packed_deep(encode_entry(DefinitionsEntry([]))),
    ],
    ids=["a text of JSON", "MessagePack"],
)
def test_g12_an_entry_of_values_in_values_is_kept_aside_and_passed(plain: bytes) -> None:
    engine, store = linked(Side.TARGET)
    take(engine, store, sealed_entry(plain, Side.SOURCE))
    assert len(store.quarantined_after(0, 9)) == 1
    assert applied_up_to(store) == 1
    goes_on(engine, store, 1, Side.SOURCE)


def test_g7_a_segment_of_values_in_values_is_kept_aside_and_passed() -> None:
    engine, store = linked(Side.TARGET)
    plain = zstandard.ZstdDecompressor().decompress(
        CODEC.encode([msgspec.structs.replace(series(NOW_MS), generation=2)])
    )
    take(engine, store, sealed_segment(zstandard.ZstdCompressor().compress(packed_deep(plain))))
    assert [item.number for item in store.quarantined_after(0, 9)] == [1]


def test_g7_a_replay_s_segment_of_a_run_that_nothing_counts_is_kept_aside_and_passed() -> None:
    engine, store = linked(Side.TARGET)
    take(engine, store, sealed_segment(encode_replayed("ab" * 8, LARGE - 1, CODEC.encode([series(NOW_MS)]))))
    assert [item.number for item in store.quarantined_after(0, 9)] == [1]


def statement(public: bytes, private: bytes) -> Statement:
    header, body = keys(Side.TARGET).seal(
        Kind.STATEMENT, private, epoch=3, number=1, accepted_ms=NOW_MS, count=0, nonce=NONCE, associated=public
    )
    return Statement(header, public, body)


PUBLIC, PRIVATE = encode_recorded(Recorded(b"", False, [], [])), encode_entry(Private([], None, 0, b"", b""))


@pytest.mark.parametrize(
    ("public", "private"),
    [(packed_deep(PUBLIC), PRIVATE), (PUBLIC, packed_deep(PRIVATE))],
    ids=["its public part", "its private part"],
)
def test_g4_a_statement_of_values_in_values_is_a_fault_and_believed_in_nothing(public: bytes, private: bytes) -> None:
    engine, store = linked(Side.SOURCE)
    assert any(isinstance(effect, Fault) for effect in take(engine, store, statement(public, private)))


@pytest.mark.parametrize(
    "private",
    [
        Private([StatedEpoch(4, LARGE - 1, 0, 0, {})], None, 0, b"", b""),
        Private([StatedEpoch(4, 0, 0, 0, {"retention": LARGE})], None, 0, b"", b""),
        Private([StatedEpoch(4, 0, 0, 0, {}, Apart(quarantined=[1, 2, 3]))], None, 0, b"", b""),
        Private([StatedEpoch(4, 0, 0, 0, {}, Apart(dropped={"retention": {"r": LARGE - 1}}))], None, 0, b"", b""),
        Private([], None, LARGE - 1, b"", b""),
        Private([], Ledger(accepted=LARGE - 1), 0, b"", b""),
        Private([], None, 0, b"", b"", {"r": Ledger(dropped={"retention": LARGE - 1})}),
        Private([], None, 0, b"", b"", replays=[StatedReplay("ab" * 8, LARGE - 1)]),
        Private([StatedEpoch(4, 0, 0, 0, {str(at): 1 for at in range(100)})], None, 0, b"", b""),
        Private([StatedEpoch(4, 0, 0, 0, {}, Apart(dropped={LONG: {"r": 1}}))], None, 0, b"", b""),
        Private([], None, 0, b"", b"", replays=[StatedReplay("ab" * 8, 1, names=[("d", "r")] * 100)]),
        Private([], None, 0, b"", b"", replays=[StatedReplay("ab" * 8, 1, names=[("d", LONG)])]),
    ],
)
def test_g4_a_statement_of_counts_that_nothing_keeps_is_a_fault_and_believed_in_nothing(private: Private) -> None:
    engine, store = linked(Side.SOURCE)
    public = encode_recorded(
        Recorded(b"", False, [RecordedEpoch(each.epoch, [1, 1], []) for each in private.epochs], [])
    )
    effects = take(engine, store, statement(public, encode_entry(private)))
    assert any(isinstance(effect, Fault) for effect in effects)
    assert store.epochs_out() == {}


def test_a_frame_of_values_in_values_ends_its_link() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        decode_frame(packed_deep(encode_frame(Credit(1))))
    with pytest.raises(ProtocolError, match="malformed"):
        decode_recorded(packed_deep(PUBLIC))


ASK = ReplayAsk("ab" * 8, 0, 1, [], [], 0, "", 0)


def gap(*, count: int = 1, row_count: int = 1, epoch: int = 1, flat: tuple[int, ...] = (1, 1)) -> GapEntry:
    rows = [GapRow("d", "r", row_count, 0, 1)]
    return GapEntry(GapNotice("g", "retention", count, 0, 1, rows, [(epoch, list(flat))], 1))


def gap_of_epochs(*epochs: int) -> GapEntry:
    return GapEntry(GapNotice("g", "retention", 1, 0, 1, [], [(epoch, [1, 1]) for epoch in epochs], 1))


def allowing(allowed: str) -> Definition:
    return Definition("x", "number", "", allowed, False, True)


@pytest.mark.parametrize(
    ("sender", "entry"),
    [
        (Side.SOURCE, CellsEntry([Cell(device_object("p"), EXISTS, "1", LARGE, 0, 1, "s", 1)])),
        (Side.SOURCE, CellsEntry([Cell(device_object("p"), EXISTS, "1", LARGE - 1, 0, 1, "s", 1)])),
        (Side.SOURCE, CellsEntry([Cell(device_object("p"), EXISTS, "1", 0, 1, LARGE, "s", 1)])),
        (Side.SOURCE, CellsEntry([Cell(fields_object("p", 1), "tag/" + "[" * DEEP, "true", 0, 1, 1, "s", 1)])),
        (Side.SOURCE, EpochsOverEntry([LARGE])),
        (Side.SOURCE, gap(count=LARGE)),
        (Side.SOURCE, gap(count=LARGE - 1)),
        (Side.SOURCE, gap(row_count=LARGE)),
        (Side.SOURCE, gap(row_count=-1)),
        (Side.SOURCE, gap(epoch=LARGE)),
        (Side.SOURCE, gap(flat=(1, 2, 3))),
        (Side.SOURCE, gap(flat=(-5, -1))),
        (Side.SOURCE, gap(flat=(5, 3))),
        (Side.SOURCE, gap(epoch=-1)),
        (Side.SOURCE, gap_of_epochs(1, 1)),
        (Side.SOURCE, gap_of_epochs(*range(EPOCHS_STATED_MAX + 1))),
        (Side.SOURCE, DefinitionsEntry([allowing(f'{{"low":{LONG}}}')])),
        (Side.SOURCE, ReplayStateEntry(ASK, "running", "", 1, LARGE, 0, [])),
        (Side.SOURCE, ReplayStateEntry(ASK, "running", "", LARGE - 1, 0, 0, [])),
        (Side.TARGET, ReplayAskEntry(msgspec.structs.replace(ASK, from_ms=LARGE - 2, to_ms=LARGE - 1))),
    ],
)
def test_g12_an_entry_of_numbers_that_nothing_keeps_is_kept_aside_and_passed(sender: Side, entry: Entry) -> None:
    engine, store = linked(sender.other)
    good = sealed_entry(encode_entry(CellsEntry([])), sender, 1)
    effects = take(engine, store, good, sealed_entry(encode_entry(entry), sender, 2))
    assert [item.number for item in store.quarantined_after(0, 9)] == [2]
    assert not any(isinstance(effect, Relink) for effect in effects), "it was seen for what it is"
    assert rows(store, "SELECT COUNT(*) FROM gap") == [(0,)], "nothing of it is kept but there"
    goes_on(engine, store, 2, sender)


@pytest.mark.parametrize("allowed", [f'{{"low":{LONG}}}', '{"any":5}'])
def test_g12_a_resource_that_cannot_be_made_is_refused_to_who_asked_for_it(allowed: str) -> None:
    engine, store = linked(Side.TARGET)
    take(engine, store, sealed_entry(encode_entry(CreateResourceEntry("q", allowing(allowed), "w")), Side.SOURCE))
    assert store.quarantined_after(0, 9) == []
    assert [decode_entry(row.entry) for row in store.control_rows(0, 9)] == [AnsweredEntry("q", "invalid")]


@pytest.mark.parametrize("failure", [OverflowError("too large"), RecursionError("too deep"), KeyError("odd")])
def test_g12_an_entry_that_fails_half_way_as_nobody_foresaw_is_undone_kept_aside_and_passed(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    engine, store = linked(Side.TARGET)
    add_change, begun = type(store).add_change, store.cells_digest()

    def fail(self: Streams, change: Change, now_ms: int) -> None:
        if change.object == device_object("q"):
            raise failure
        add_change(self, change, now_ms)

    entry = CellsEntry([Cell(device_object(name), EXISTS, "1", 1, 0, 1, "s", 0) for name in ("p", "q")])
    with monkeypatch.context() as patched:
        patched.setattr(type(store), "add_change", fail)
        effects = take(
            engine,
            store,
            sealed_segment(CODEC.encode([series(NOW_MS)])),
            sealed_entry(encode_entry(entry), Side.SOURCE),
        )
    assert any(isinstance(effect, Relink) for effect in effects), "what it believes of that entry is loaded again"
    assert len(store.quarantined_after(0, 9)) == 1
    assert (store.cell(device_object("p"), EXISTS), store.cells_digest()) == (None, begun)
    assert rows(store, "SELECT applied_count FROM waiting") == [(1,)], "the segment before it is stored and counted"
    engine.on_link_opened(store, peer_linked=True, credit_bytes=1_000_000, now_ms=NOW_MS)
    goes_on(engine, store, 1, Side.SOURCE)
    assert store.cells_digest() == digest(store.cells())
    later_ms = NOW_MS + 2 * QUARANTINE_TRY_EVERY_MS
    engine.on_deadline(store, later_ms)
    engine.flush(store, later_ms)
    assert store.quarantined_after(0, 9) == [], "it was tried again, with a release that can"
    assert [store.cell(cell.object, cell.field) for cell in entry.cells] == entry.cells


def test_g7_a_trial_that_fails_as_nobody_foresaw_leaves_the_entry_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, store = linked(Side.TARGET)
    tried: list[object] = []

    def fail(*change: object) -> None:
        tried.append(change)
        raise OverflowError("too large")

    monkeypatch.setattr(type(store), "add_change", fail)
    entry = CellsEntry([Cell(device_object("p"), EXISTS, "1", 1, 0, 1, "s", 0)])
    take(engine, store, sealed_entry(encode_entry(entry), Side.SOURCE))
    later_ms = NOW_MS + 2 * QUARANTINE_TRY_EVERY_MS
    engine.on_deadline(store, later_ms)
    assert any(isinstance(effect, Relink) for effect in engine.flush(store, later_ms))
    for _ in range(3):
        engine.on_deadline(store, later_ms)
        assert engine.flush(store, later_ms) == []
    assert len(store.quarantined_after(0, 9)) == 1
    assert len(tried) == 2, "once as it came, and once more: not again and again"


@pytest.mark.parametrize(
    "header", [{"epoch": LARGE}, {"number": LARGE}, {"accepted_ms": LARGE}], ids=["epoch", "number", "accepted_ms"]
)
def test_g7_a_segment_of_a_number_that_nothing_keeps_claims_nothing(header: dict[str, int]) -> None:
    engine, store = linked(Side.TARGET)
    good = Header.unpack(sealed_segment(b"").header)
    packed = msgspec.structs.replace(good, **header).pack()
    effects = take(engine, store, Sealed(LANE_LIVE, packed, b"x" * 64))
    assert any(isinstance(effect, Fault) for effect in effects)
    with pytest.raises(ProtocolError, match="out of range"):
        Header.unpack(packed)
