"""A hub's shell in the fake world: the real relay on the memory store; disk work takes its time and may be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, assert_never

from hub.admission import Displacement
from hub.store.memory import MemoryCopies
from shared.core import relay_stream
from shared.core.relay import Effect, Fault, LoadCopies, PairRelay, RelayedFrame, Send, StoreCopies, TrimCopies
from shared.errors import Refused
from shared.messages import AnyFrame, AskHeld, AskStatement, Credit, HelloBack, PairKnown, Sealed, Statement
from shared.sealing import Side
from tests.simulation.network import Link, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

PAIR_ID = b"pair in a bottle"


class SimHub:
    """One hub that knows one pair, and no other hub."""

    def __init__(self, world: World, number: int = 0) -> None:
        self.world = world
        self.number = number
        self.copies = MemoryCopies()
        self.links: dict[Side, Link] = {}
        self.pending: deque[Callable[[], None]] = deque()
        self.crash_armed: str | None = None
        self.disk_fails = 0
        self.displacement = Displacement()
        self.start()

    def start(self) -> None:
        """Start, or start again after a crash."""
        self.relay = PairRelay(PAIR_ID, self.copies.held(PAIR_ID))

    def crash(self) -> None:
        """Lose all that is in memory."""
        self.world.note("hub crashed")
        links, self.links = list(self.links.values()), {}
        self.pending.clear()
        self.start()
        for link in links:
            self.world.cut(link)

    def lose_disk(self) -> None:
        """Crash and come back with an empty store."""
        self.copies = MemoryCopies()
        self.crash()

    def on_dialled(self, link: Link) -> bool:
        """A site opened a link and presented its pair; return whether it is let in (G2: not as one copy of two)."""
        now_ms = self.world.now_ms
        before = self.links.get(link.side)
        if before is not None:
            try:
                starts = before.site.start_id, link.site.start_id
                self.displacement.displace((link.side.word, "c"), *starts, now_ms)
            except Refused:
                self.world.fired("duplicate_refused")
                link.close()
                return False
            del self.links[link.side]
            before.hub_end = False
            before.to_site.clear()
            if before.site is not link.site:
                self.world.cut(before)
        self.links[link.side] = link
        link.send_to_site(HelloBack(1, self.time_ms(), vars(relay_stream)["CREDIT_BYTES"]))
        link.send_to_site(PairKnown(PAIR_ID, self.relay.linked(link.side.other)))
        self.obey(self.relay.on_linked(link.side, now_ms))
        return True

    def time_ms(self) -> int:
        """What the hub says that time is."""
        return self.world.now_ms

    def on_closed(self, link: Link) -> None:
        """A link ended as the hub sees it."""
        link.hub_end = False
        if self.links.get(link.side) is link:
            del self.links[link.side]
            self.obey(self.relay.on_unlinked(link.side, self.world.now_ms))

    def on_packet(self, link: Link, packet: bytes) -> None:
        """A frame arrived."""
        frame = link.arrived_at_hub(packet)
        if not isinstance(frame, Sealed | Statement | AskStatement | AskHeld | Credit):
            raise Violation(f"the {link.side.word} sent {type(frame).__name__}")
        relayed: RelayedFrame = frame
        if self.links.get(link.side) is link:
            self.obey(self.relay.on_frame(link.side, relayed, self.world.now_ms))
            self._check()

    def _check(self) -> None:
        """What the relay keeps in memory is bounded, whatever waits (G8)."""
        limits = vars(relay_stream)
        for stream in self.relay.streams.values():
            kept, kept_bytes = len(stream._memory), stream._memory_bytes
            if kept > limits["HUB_MEMORY_COPIES_PER_STREAM"]:
                raise Violation(f"the hub keeps {kept} copies of the {stream.origin.word} in memory")
            if kept > 1 and kept_bytes > limits["HUB_MEMORY_BYTES_PER_STREAM"]:
                raise Violation(f"the hub keeps {kept_bytes} bytes of the {stream.origin.word} in memory")

    def on_deadline(self) -> None:
        """Time went by."""
        self.obey(self.relay.on_deadline(self.world.now_ms))

    def disk_turn(self) -> None:
        """Do the oldest piece of disk work."""
        if self.pending:
            self.pending.popleft()()

    def obey(self, effects: Iterable[Effect]) -> None:
        """Carry effects out in order; what needs the disk is queued."""
        for effect in effects:
            match effect:
                case Send(side, frame):
                    if side in self.links:
                        self.say(self.links[side], frame)
                case StoreCopies():
                    self.pending.append(lambda effect=effect: self._store(effect))  # type: ignore[misc]
                case LoadCopies():
                    self.pending.append(lambda effect=effect: self._load(effect))  # type: ignore[misc]
                case TrimCopies():
                    self.pending.append(lambda effect=effect: self._trim(effect))  # type: ignore[misc]
                case Fault(side, why):
                    raise Violation(f"the hub closes the {side.word}'s link: {why}")
                case _:
                    assert_never(effect)

    def say(self, link: Link, frame: AnyFrame) -> None:
        """Send a frame of the relay."""
        link.send_to_site(frame)

    def _dies(self, when: str) -> bool:
        if self.crash_armed != when:
            return False
        self.crash_armed = None
        self.world.fired(f"hub_crash_{when}")
        self.crash()
        return True

    def _trim(self, effect: TrimCopies) -> None:
        if not self._dies("before"):
            self.copies.trim(PAIR_ID, effect.side, effect.kind, effect.epoch, effect.flat)
            self._dies("after")

    def _store(self, effect: StoreCopies) -> None:
        if self._dies("before"):
            return
        if self.disk_fails:
            self.disk_fails -= 1
            self.world.fired("hub_disk_full")
            self.obey(self.relay.on_store_failed(effect.copies, self.world.now_ms))
            return
        self.copies.store(PAIR_ID, effect.copies)
        if not self._dies("after"):
            self.obey(self.relay.on_stored(effect.copies, self.world.now_ms))

    def _load(self, effect: LoadCopies) -> None:
        found = self.copies.load(
            PAIR_ID,
            effect.side,
            effect.kind,
            after=effect.after,
            body_bytes_max=effect.body_bytes_max,
            copies_max=effect.copies_max,
        )
        self.obey(self.relay.on_loaded(effect.side, effect.kind, found, self.world.now_ms))

    def drop_some_copies(self) -> bool:
        """Let the oldest copies go, as the cap would; return whether there were any."""
        dropped = self.copies.drop(before_ms=self.world.now_ms + 1, stored_bytes_max=0, copies_max=3)
        for gone in dropped:
            self.obey(self.relay.on_dropped(gone.side, gone.epochs, self.world.now_ms))
        return bool(dropped)
