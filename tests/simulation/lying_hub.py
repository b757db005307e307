"""A hub that lies: everything that whoever runs a hub could do to the frames that pass it (DESIGN G4, G17)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from hub.store.memory import MemoryCopies
from shared.limits import DAY_MS
from shared.messages import (
    AnyFrame,
    AskStatement,
    Credit,
    Held,
    HeldEpoch,
    PeerPresence,
    RecordedEpoch,
    Sealed,
    Statement,
    decode_recorded,
    encode_recorded,
)
from shared.sealing import Header
from tests.simulation.hub import PAIR_ID, SimHub
from tests.simulation.network import Link, is_opening

if TYPE_CHECKING:
    from tests.simulation.world import World

LIES: Final = (
    "hub_replays",  # frames of long ago come again, also those that the receiver itself has sent
    "hub_reorders",  # deeper than any network
    "hub_withholds",  # acknowledgements, and what it holds, are not passed on
    "hub_shows_old_state",  # its memory and its disk are those of earlier
    "hub_claims",  # says that it holds what it threw away, and what was never there
    "hub_edits",  # changes what is readable: headers, intervals, nonces
    "hub_misleads",  # says that the other side is there, or not, as it likes
    "hub_tells_wrong_time",
)
_REMEMBERED_MAX: Final = 200
# Of each sort: some answers to a lie give the hub the next occasion, and nobody's patience is endless.
_LIES_MAX: Final = 30


class LyingHub(SimHub):
    """A hub that may lie: each sort in `lies` with its chance per frame; without any it is honest."""

    def __init__(self, world: World, number: int = 0) -> None:
        super().__init__(world, number)
        self.lies: dict[str, float] = {}
        self._heard: deque[AnyFrame] = deque(maxlen=_REMEMBERED_MAX)
        self._old_copies: MemoryCopies | None = None
        self._told: Counter[str] = Counter()
        self._off_ms = 0

    def lie(self, sort: str) -> None:
        """Begin to lie so, and let it matter: what shows an old state dies and comes back with it."""
        chance = self.world.chance
        if sort == "hub_shows_old_state":
            self._show_old_state()
        elif sort == "hub_tells_wrong_time":
            self._off_ms = chance.choice((-365 * DAY_MS, -DAY_MS, DAY_MS, 365 * DAY_MS))
        else:
            self._told[sort] = 0
            self.lies[sort] = chance.choice((0.1, 0.3, 0.6))

    def be_honest(self) -> None:
        """Lie no more, and take back what was said of who is there: nothing else would correct it while the links live."""
        self.lies = {}
        self.be_punctual()
        if self._told["hub_misleads"]:
            for side, link in self.links.items():
                link.send_to_site(PeerPresence(PAIR_ID, side.other in self.links))

    def be_punctual(self) -> None:
        """Tell the right time."""
        self._off_ms = 0

    def time_ms(self) -> int:
        """What the hub says that time is."""
        if self._off_ms:
            self.world.fired("hub_tells_wrong_time")
        return super().time_ms() + self._off_ms

    def _show_old_state(self) -> None:
        if self._old_copies is None or not any(self._old_copies.held(PAIR_ID).values()):
            self._old_copies = deepcopy(self.copies)
            return
        self.copies = deepcopy(self._old_copies)
        self.world.fired("hub_shows_old_state")
        self.crash()

    def say(self, link: Link, frame: AnyFrame) -> None:
        """Send a frame of the relay, or something else."""
        if not self.lies:
            super().say(link, frame)
            return
        if not isinstance(frame, Credit):  # what it grants is its own to keep
            self._heard.append(frame)
        for said in self._instead(link, frame):
            link.send_to_site(said, lie=True)
            self._reorder(link)

    def _reorder(self, link: Link) -> None:
        """Let what was said last overtake what was said before; a link's opening stays in front."""
        overtaken = [packet for packet in link.to_site if not is_opening(packet)]
        if len(overtaken) > 1 and self._will("hub_reorders"):
            packet = link.to_site.pop()
            link.to_site.insert(len(link.to_site) - self.world.chance.randrange(1, len(overtaken)), packet)
            self.world.fired("hub_reorders")

    def _will(self, sort: str) -> bool:
        probability = self.lies.get(sort, 0.0)
        if not probability or self.world.chance.random() >= probability:
            return False
        self._told[sort] += 1
        if self._told[sort] >= _LIES_MAX:
            del self.lies[sort]
        return True

    def _instead(self, link: Link, frame: AnyFrame) -> list[AnyFrame]:
        """Return what is said in place of a frame."""
        world, said = self.world, [frame]
        if isinstance(frame, Statement | Held) and self._will("hub_withholds"):
            world.fired("hub_withholds")
            return []
        if self._will("hub_edits") and (edited := self._edited(frame)) is not None:
            world.fired("hub_edits")
            said = [edited]
        if isinstance(frame, Sealed | Held) and self._will("hub_claims"):
            said = self._claimed(link, frame, said)
        if self._will("hub_replays"):
            world.fired("hub_replays")
            said.append(world.chance.choice(self._heard) if self._heard else frame)
        if self._will("hub_misleads"):
            world.fired("hub_misleads")
            said.append(PeerPresence(PAIR_ID, world.chance.random() < 0.5))
        return said

    def _claimed(self, link: Link, frame: Sealed | Held, said: list[AnyFrame]) -> list[AnyFrame]:
        """Throw a sealed frame away and say to its origin that it is kept; or claim much more than that."""
        world = self.world
        if isinstance(frame, Sealed):
            header = Header.unpack(frame.header)
            claim = Held(False, [HeldEpoch(header.kind, header.epoch, [header.number, header.number])])
            origin = self.links.get(link.side.other)
            if origin is not None:
                origin.send_to_site(claim, lie=True)
            world.fired("hub_claims")
            return []
        if frame.epochs:
            world.fired("hub_claims")
            more = [HeldEpoch(epoch.kind, epoch.epoch, [1, 1 << 20]) for epoch in frame.epochs]
            return [Held(frame.whole, more)]
        return said

    def _edited(self, frame: AnyFrame) -> AnyFrame | None:
        """Return a frame with something changed that a hub can read; None where there is nothing."""
        chance = self.world.chance
        match frame:
            case Sealed():
                return Sealed(frame.lane, self._edited_header(frame.header), frame.body)
            case Statement() if chance.random() < 0.5:
                return Statement(self._edited_header(frame.header), frame.public, frame.body)
            case Statement():
                return Statement(frame.header, self._edited_public(frame.public), frame.body)
            case AskStatement():
                return AskStatement(frame.pair_id, chance.randbytes(16))
            case Held() if frame.epochs:
                return Held(not frame.whole, frame.epochs[: chance.randrange(len(frame.epochs) + 1)])
            case _:
                return None

    def _edited_header(self, packed: bytes) -> bytes:
        header, chance = Header.unpack(packed), self.world.chance
        edit: Callable[[], Header] = chance.choice(
            (
                lambda: replace(header, number=header.number + chance.choice((1, 2, 40))),
                lambda: replace(header, epoch=chance.randrange(1, 1 << 62)),
                lambda: replace(header, count=header.count + 1),
                lambda: replace(header, accepted_ms=header.accepted_ms + DAY_MS),
                lambda: replace(header, side=1 - header.side),
                lambda: replace(header, kind=(header.kind + 1) % 4),
                lambda: replace(header, pair_id=bytes(16)),
                lambda: replace(header, generation=header.generation + 1),
                lambda: replace(header, nonce=bytes(12)),
            )
        )
        return edit().pack()

    def _edited_public(self, public: bytes) -> bytes:
        recorded, chance = decode_recorded(public), self.world.chance
        everything = [RecordedEpoch(epoch.epoch, [1, 1 << 20], []) for epoch in recorded.segments]
        nothing = [RecordedEpoch(epoch.epoch, [], []) for epoch in recorded.segments]
        return encode_recorded(
            chance.choice(
                (
                    type(recorded)(recorded.nonce, recorded.whole, everything, recorded.control),
                    type(recorded)(recorded.nonce, recorded.whole, nothing, recorded.control),
                    type(recorded)(recorded.nonce, not recorded.whole, recorded.segments, recorded.control),
                    type(recorded)(chance.randbytes(16), recorded.whole, recorded.segments, recorded.control),
                    type(recorded)(recorded.nonce, recorded.whole, recorded.segments, [(1, 1 << 20)]),
                )
            )
        )
