"""Runs one pair's relay (shared.core.relay): its effects become frames on links and work for the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, assert_never

from hub.store.interface import CopyStore
from shared.certificates import PairCertificate
from shared.core.relay import Fault, LoadCopies, PairRelay, RelayedFrame, Send, StoreCopies, TrimCopies
from shared.core.relay_effects import Copy, Effect
from shared.errors import PairhubError
from shared.messages import AnyFrame, HeldEpoch, Sealed
from shared.sealing import Side, is_call

_log = logging.getLogger(__name__)


class LinkEnd(Protocol):
    """What a pair needs of a link."""

    def send(self, frame: AnyFrame) -> None:
        """Queue a frame."""

    def fault(self, why: str) -> None:
        """Close it: the peer broke the protocol."""


Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class PairRunner:
    """One registered pair of which a side was linked since the hub started.

    All methods are plain calls on the event loop; work for the store runs beside them, in the order in which the relay
    asked for it, and comes back as an event.
    """

    def __init__(
        self, certificate: PairCertificate, relay: PairRelay, store: CopyStore, *, now: Callable[[], int], spawn: Spawn
    ) -> None:
        """`now` is the hub's time in ms, which never goes back; `spawn` starts work in the hub's task group."""
        self.certificate = certificate
        self.relay = relay
        self._store = store
        self._now = now
        self._spawn = spawn
        self._links: dict[Side, LinkEnd] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        self._closed = False

    def attach(self, side: Side, link: LinkEnd) -> None:
        """A link presented this pair for its side; one that it displaces is forgotten."""
        self._links[side] = link
        self._obey(self.relay.on_linked(side, self._now()))

    def detach(self, side: Side, link: LinkEnd) -> None:
        """A link ended; nothing happens where another has taken its place."""
        if self._links.get(side) is link:
            del self._links[side]
            self._obey(self.relay.on_unlinked(side, self._now()))

    def on_frame(self, side: Side, frame: RelayedFrame) -> None:
        """A frame came on the link of a side."""
        changes_nothing = isinstance(frame, Sealed) and is_call(frame.header)
        self._obey(self.relay.on_frame(side, frame, self._now()), rearm=not changes_nothing)

    def on_dropped(self, side: Side, epochs: Iterable[HeldEpoch]) -> None:
        """Housekeeping let copies go."""
        self._obey(self.relay.on_dropped(side, epochs, self._now()))

    async def flush(self) -> None:
        """Store what is in memory only; the hub is about to end."""
        for effect in self.relay.on_draining():
            try:
                await self._store.store_copies(self.relay.pair_id, effect.copies)
            except PairhubError as error:
                _log.warning("Copies were not stored at the end (their origins keep them): %s", error, extra=self._ids)

    def close(self) -> None:
        """Do nothing from here on: the pair was dissolved, or the store it worked with is gone."""
        self._closed = True
        self.relay.on_closed()
        self._links.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _obey(self, effects: tuple[Effect, ...], *, rearm: bool = True) -> None:
        if self._closed:
            return
        for effect in effects:
            match effect:
                case Send(side, frame):
                    if (link := self._links.get(side)) is not None:
                        link.send(frame)
                case StoreCopies(copies):
                    self._spawn(self._store_copies(copies))
                case TrimCopies():
                    self._spawn(self._trim(effect))
                case LoadCopies():
                    self._spawn(self._load(effect))
                case Fault(side, why):
                    if (link := self._links.get(side)) is not None:
                        link.fault(why)
                case _:
                    assert_never(effect)
        if rearm:
            self._arm()

    def _arm(self) -> None:
        due_ms = self.relay.next_deadline()
        if self._timer is not None:
            if due_ms is not None and self._timer_due_ms <= due_ms:
                return  # it fires early enough, and looks again then
            self._timer.cancel()
            self._timer = None
        if due_ms is not None:
            wait_s = max(0, due_ms - self._now()) / 1000
            self._timer_due_ms = due_ms
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._obey(self.relay.on_deadline(self._now()))

    async def _store_copies(self, copies: tuple[Copy, ...]) -> None:
        try:
            await self._store.store_copies(self.relay.pair_id, copies)
        except Exception as error:  # noqa: BLE001  # whatever it was: nothing is stored, and this pair stops no other
            _log.warning("Storing %d copies failed: %s", len(copies), error, extra=self._ids)
            self._obey(self.relay.on_store_failed(copies, self._now()))
        else:
            self._obey(self.relay.on_stored(copies, self._now()))

    async def _trim(self, effect: TrimCopies) -> None:
        try:
            await self._store.trim_copies(self.relay.pair_id, effect.side, effect.kind, effect.epoch, effect.flat)
        except Exception as error:  # noqa: BLE001  # copies that stay are delivered once more, which does no harm
            _log.warning("Trimming copies failed: %s", error, extra=self._ids)

    async def _load(self, effect: LoadCopies) -> None:
        try:
            copies = await self._store.load_copies(
                self.relay.pair_id,
                effect.side,
                effect.kind,
                after=effect.after,
                body_bytes_max=effect.body_bytes_max,
                copies_max=effect.copies_max,
            )
        except Exception as error:  # noqa: BLE001  # tried again later; what is live goes on
            _log.warning("Loading copies failed: %s", error, extra=self._ids)
            self._obey(self.relay.on_load_failed(effect.side, effect.kind, self._now()))
        else:
            self._obey(self.relay.on_loaded(effect.side, effect.kind, copies, self._now()))

    @property
    def _ids(self) -> dict[str, str]:
        return {"pair": self.relay.pair_id.hex()}
