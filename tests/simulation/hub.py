"""The hub's shell in the fake world: the real relay on the memory store; disk work takes its time and may be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, assert_never

from hub.store.memory import MemoryCopies
from shared.core import relay_stream
from shared.core.relay import Effect, Fault, LoadCopies, PairRelay, RelayedFrame, Send, StoreCopies, TrimCopies
from shared.messages import AskHeld, AskStatement, Credit, HelloBack, PairKnown, Sealed, Statement, decode_frame
from shared.sealing import Side
from tests.simulation.network import Link, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

PAIR_ID = b"pair in a bottle"


class SimHub:
    """One hub that knows one pair."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.copies = MemoryCopies()
        self.links: dict[Side, Link] = {}
        self.pending: deque[Callable[[], None]] = deque()
        self.crash_armed: str | None = None
        self.disk_fails = 0
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

    def on_dialled(self, link: Link) -> None:
        """A site opened a link and presented its pair."""
        before = self.links.pop(link.side, None)
        if before is not None:
            before.hub_end = False
            before.to_site.clear()
        self.links[link.side] = link
        now_ms = self.world.now_ms
        link.send_to_site(HelloBack(1, now_ms, vars(relay_stream)["CREDIT_BYTES"]))
        link.send_to_site(PairKnown(PAIR_ID, self.relay.linked(link.side.other)))
        self.obey(self.relay.on_linked(link.side, now_ms))

    def on_closed(self, link: Link) -> None:
        """A link ended as the hub sees it."""
        link.hub_end = False
        if self.links.get(link.side) is link:
            del self.links[link.side]
            self.obey(self.relay.on_unlinked(link.side, self.world.now_ms))

    def on_packet(self, link: Link, packet: bytes) -> None:
        """A frame arrived."""
        frame = decode_frame(packet)
        if not isinstance(frame, Sealed | Statement | AskStatement | AskHeld | Credit):
            raise Violation(f"the {link.side.word} sent {type(frame).__name__}")
        relayed: RelayedFrame = frame
        if self.links.get(link.side) is link:
            self.obey(self.relay.on_frame(link.side, relayed, self.world.now_ms))

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
                        self.links[side].send_to_site(frame)
                case StoreCopies():
                    self.pending.append(lambda effect=effect: self._store(effect))  # type: ignore[misc]
                case LoadCopies():
                    self.pending.append(lambda effect=effect: self._load(effect))  # type: ignore[misc]
                case TrimCopies(side, kind, epoch, flat):
                    self.copies.trim(PAIR_ID, side, kind, epoch, flat)
                case Fault(side, why):
                    raise Violation(f"the hub closes the {side.word}'s link: {why}")
                case _:
                    assert_never(effect)

    def _store(self, effect: StoreCopies) -> None:
        if self.crash_armed == "before":
            self.crash_armed = None
            self.world.fired("hub_crash_before")
            self.crash()
            return
        if self.disk_fails:
            self.disk_fails -= 1
            self.world.fired("hub_disk_full")
            self.obey(self.relay.on_store_failed(effect.copies, self.world.now_ms))
            return
        self.copies.store(PAIR_ID, effect.copies)
        if self.crash_armed == "after":
            self.crash_armed = None
            self.world.fired("hub_crash_after")
            self.crash()
            return
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
        dropped = self.copies.drop(before_ms=self.world.now_ms + 1, body_bytes_max=0, copies_max=3)
        for gone in dropped:
            self.obey(self.relay.on_dropped(gone.side, gone.epochs, self.world.now_ms))
        return bool(dropped)
