"""Parting on purpose at one connector (G16): the words of people here, the certificate, and who has to hear of it.

The ask, a withdrawal and a refusal travel through the pair's control log; what ends the pair is the certificate alone,
whoever delivers it. It is kept, and repeated to the hub on every link, until both sides are known to know.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from connector import parting_rows
from connector.after_parting import Waits, end_pair, waits
from connector.catalogue import Catalogue
from connector.connectors import Pair
from connector.identity import Identity
from connector.pair_runner import PairRunner
from connector.parting_rows import Parted
from connector.streams import Streams
from shared.certificates import Parting, pack, read_pair, read_parting, sign, unpack
from shared.clock import Clock
from shared.core.completion import PairState
from shared.core.engine import PairEngine
from shared.core.engine_effects import Effect
from shared.core.parting import PART_ID_BYTES, Ask, PartEvent, PartingTalk
from shared.core.parting_lane import PartingLane
from shared.database import Database
from shared.errors import Refused
from shared.limits import NAME_CHARS_MAX
from shared.messages import AnyFrame, PairParted, PartPair
from shared.sealing import Side

_log = logging.getLogger(__name__)
Send = Callable[[AnyFrame], None]


@dataclass(frozen=True, slots=True)
class PartingSeen:
    """How parting stands: what was said about the present pair, what waits on it, and the last pair that is over."""

    talk: PartingTalk
    waits: Waits
    parted: Parted | None


class PartingDesk:
    """Parting at one connector. `present` returns its pair and the runner of its engine, as they are now."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        connector_id: str,
        identity: Callable[[], Identity],
        clock: Clock,
        present: Callable[[], tuple[Pair | None, PairRunner | None]],
        on_over: Callable[[], None],
        ring: Callable[[str], None],
    ) -> None:
        """`on_over` is called on the event loop the moment the pair is over."""
        self._database = database
        self._catalogue = catalogue
        self._connector_id = connector_id
        self._identity = identity
        self._clock = clock
        self._present = present
        self._on_over = on_over
        self._ring = ring
        self._send: Send | None = None
        self._untold: list[Parted] = []
        self._finding = asyncio.Lock()
        self._unanswered: dict[bytes, Parted] = {}  # told on this link, by pair ID; the hub may have failed to store it

    async def seen(self) -> PartingSeen:
        """Return how parting stands."""
        pair, _ = self._present()

        def unit(connection: sqlite3.Connection) -> PartingSeen:
            paired = pair is not None and pair.state is PairState.PAIRED
            return PartingSeen(
                parting_rows.find_talk(connection, self._connector_id),
                waits(connection, pair) if pair is not None and paired else Waits(0, 0, 0, 0),
                parting_rows.find_parted(connection, self._connector_id),
            )

        return await self._database.read(unit)

    # --- what people here say -------------------------------------------------------------------------------------------

    async def ask(self, *, flush: bool, who: str) -> None:
        """Ask the other side to part; raises Refused('not_paired', 'part_asked')."""
        pair, _ = self._paired()
        part_id = secrets.token_bytes(PART_ID_BYTES)
        signature = sign(self._identity().identity_private, Parting(pair.pair_id, part_id))
        ask = Ask(part_id, signature, who[:NAME_CHARS_MAX], self._clock.wall_ms())
        await self._say(lambda lane, store, now_ms: lane.ask(store, ask, flush=flush, now_ms=now_ms))

    async def withdraw(self) -> None:
        """Take the ask back; raises Refused('not_paired', 'not_found')."""
        await self._say(lambda lane, store, now_ms: lane.withdraw(store, now_ms))

    async def decline(self) -> None:
        """Say no to the other side's ask; raises Refused('not_paired', 'not_found')."""
        await self._say(lambda lane, store, now_ms: lane.decline(store, now_ms))

    async def _say(self, say: Callable[[PartingLane, Streams, int], None]) -> None:
        _, runner = self._paired()

        def work(engine: PairEngine, store: Streams, now_ms: int) -> tuple[None, list[Effect]]:
            say(engine.parting, store, now_ms)
            return None, []

        await runner.run(work)
        self._ring("parting")

    async def agree(self, *, flush: bool) -> None:
        """Agree to what the other side asked: the pair is over. Raises Refused('not_paired', 'not_found')."""
        pair, _ = self._paired()
        asked = (await self.seen()).talk.theirs
        if asked is None:
            raise Refused("not_found", what="ask to part")
        parting = Parting(pair.pair_id, asked.part_id)
        signatures = [sign(self._identity().identity_private, parting), asked.signature]
        if pair.side is Side.TARGET:
            signatures.reverse()
        packed = pack(parting, signatures)
        read_parting(packed, read_pair(pair.certificate))

        def check(store: Streams) -> None:
            talk = store.parting_talk()
            if talk.theirs is None or talk.theirs.part_id != asked.part_id or not talk.allows(PartEvent.AGREE):
                raise Refused("not_found", what="ask to part")  # taken back, or asked anew, meanwhile
            store.save_parting_talk(replace(talk.on_agree(), flush=flush))

        await self._end(pair, packed, parting, check)

    def _paired(self) -> tuple[Pair, PairRunner]:
        pair, runner = self._present()
        if pair is None or runner is None or pair.state is not PairState.PAIRED:
            raise Refused("not_paired")
        return pair, runner

    # --- the certificate --------------------------------------------------------------------------------------------------

    async def on_parted(self, frame: PairParted) -> None:
        """The hub shows a parting: it counts only where both sides' signatures fit; raises Refused where they do not."""
        parting, _ = unpack(Parting, frame.parting)
        self._unanswered.pop(parting.pair_id, None)
        pair, _ = self._present()
        if pair is not None and pair.pair_id == parting.pair_id:
            await self._end(pair, frame.parting, self._genuine(frame.parting, pair.certificate), lambda _store: None)
        known = await self._database.read(lambda c: parting_rows.find_parted(c, self._connector_id, parting.pair_id))
        if known is None:
            return
        self._genuine(frame.parting, known.certificate)
        await self._database.write(lambda c: parting_rows.note_told(c, known, known_by_both=frame.known_by_both))
        await self._find_untold()
        self._ring("parting")

    def _genuine(self, packed: bytes, certificate: bytes) -> Parting:
        try:
            return read_parting(packed, read_pair(certificate))
        except Refused as refused:
            _log.warning("a parting that is not genuine: %s", refused, extra={"connector": self._connector_id})
            raise

    async def _end(self, pair: Pair, packed: bytes, parting: Parting, check: Callable[[Streams], None]) -> None:
        _, runner = self._present()
        gap_id = secrets.token_hex(8)

        def last_word(connection: sqlite3.Connection, store: Streams, now_ms: int) -> None:
            end_pair(connection, store, pair, packed, parting.part_id, gap_id, now_ms)

        if runner is not None:
            try:
                await runner.end(check, last_word, self._on_over)
            except Refused:
                if not runner.over:  # else somebody was faster, and it is what was wanted
                    raise
        else:  # a pair that was never complete here: its other side, or a backup, knows better

            def after(outcome: BaseException | None) -> None:
                if outcome is None:
                    self._on_over()

            await self._database.write(lambda c: self._end_alone(c, check, last_word), after)
        _log.info("parted from '%s'", pair.peer_site_name, extra={"connector": self._connector_id})

    def _end_alone(
        self,
        connection: sqlite3.Connection,
        check: Callable[[Streams], None],
        last_word: Callable[[sqlite3.Connection, Streams, int], None],
    ) -> None:
        store = Streams(connection, self._connector_id, self._catalogue)
        check(store)
        last_word(connection, store, self._clock.wall_ms())
        self._catalogue.forget()

    # --- who has to hear of it ----------------------------------------------------------------------------------------

    @property
    def untold(self) -> bool:
        """Whether a link is wanted to tell of a parting."""
        return bool(self._untold)

    async def load(self) -> None:
        """Take up of which partings others are not known to know, and tell the hub where it is linked."""
        await self._find_untold()
        self._tell(self._untold)

    async def _find_untold(self) -> None:
        async with self._finding:  # one by one: what was read first must not take the place of what was read later
            self._untold = await self._database.read(lambda c: parting_rows.untold(c, self._connector_id))

    async def tell_all(self) -> None:
        """Tell of every parting of this connector: the hub (restored, or another one) believes it to be in a pair."""
        self._tell(await self._database.read(lambda c: parting_rows.all_parted(c, self._connector_id)))

    def tell_again(self) -> None:
        """Tell what the hub has not answered on this link: its disk may have refused."""
        self._tell(list(self._unanswered.values()))

    def open_link(self, send: Send) -> None:
        """The link is up: tell the hub (again)."""
        self._send = send
        self._tell(self._untold)

    def close_link(self) -> None:
        """The link is gone."""
        self._send = None
        self._unanswered.clear()

    def _tell(self, partings: list[Parted]) -> None:
        if self._send is not None:
            for parted in partings:
                self._unanswered[parted.pair_id] = parted
                self._send(PartPair(parted.certificate, parted.parting))
