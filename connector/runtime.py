"""One connector at run time: its link to the hub, and the parts that use it (pairing, the pair's engine, calls)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from connector import connectors
from connector.arriving import ForEngine
from connector.calls import Calls
from connector.catalogue import Catalogue
from connector.connectors import Connector, Pair
from connector.crowd import Crowd
from connector.enrolment import Enrolment
from connector.given_up import GivenUp
from connector.identity import Identity
from connector.link import Link
from connector.pair_runner import PairRunner
from connector.pairing import Completion, SourceDesk, TargetDesk
from connector.parting import PartingDesk
from shared.clock import Clock
from shared.core.clock_guard import ClockGuard
from shared.core.completion import HELLO_METHOD, PairState
from shared.core.link_state import LINK_TABLE, Backoff, LinkEvent, LinkState
from shared.core.outbox import OutboxLimits
from shared.database import Database
from shared.disk_reserve import DiskReserve
from shared.errors import LinkLost, ProtocolError, Refused, StorageFailed, refused_there
from shared.limits import SECOND_MS, STORE_TRIED_EVERY_S, TOLD_AGAIN_EVERY_S
from shared.messages import (
    AnyFrame,
    AskHeld,
    AskStatement,
    ClaimRefused,
    ClaimStep,
    Credit,
    Held,
    Knock,
    Notice,
    PairDissolved,
    PairKnown,
    PairParted,
    PeerPresence,
    PresentPair,
    Sealed,
    Statement,
    WindowOpened,
)
from shared.sealing import Kind, Side
from shared.supervision import end_if_cancelled, supervised

_log = logging.getLogger(__name__)
_IDLE_LOOK_S = 1.0
_ENDS_OF_A_LINK = (LinkLost, ProtocolError, Refused, StorageFailed)
# A tuple: a union would be made anew for each frame.
_FOR_ENGINE = (Sealed, Statement, AskStatement, Held, Credit)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connector gets from its site."""

    database: Database
    catalogue: Catalogue
    clock: Clock
    guard: ClockGuard
    reserve: DiskReserve
    limits: OutboxLimits
    start_id: bytes
    enrolment: Enrolment
    needs_accept: bool
    answer: Callable[[str, str, bytes], bytes | Callable[[], Awaitable[bytes]]]
    ring: Callable[[str, str], None]
    crowd: Crowd = field(default_factory=Crowd)


@dataclass(frozen=True, slots=True)
class LinkView:
    """How the link looks to people. Times are ms since 1970."""

    state: LinkState
    since_ms: int
    round_trip_ms: float
    next_attempt_ms: int
    peer_linked: bool
    problem: str
    bytes_sent: int
    bytes_received: int
    problem_code: str = ""
    silent_s: float = 0.0


class ConnectorRuntime:
    """Runs one connector until cancelled. `runner` is there once the connector is paired."""

    def __init__(self, connector: Connector, pair: Pair | None, surroundings: Surroundings) -> None:
        self.connector_id = connector.connector_id
        self.disabled = connector.disabled
        self._drain_bytes_per_s = connector.drain_bytes_per_s
        self.pair = pair
        self.runner: PairRunner | None = None
        self.calls: Calls | None = None
        self._around = surroundings
        self.source = SourceDesk(
            surroundings.database,
            self.connector_id,
            self._identity,
            surroundings.clock,
            self._on_agreed,
            self._ring,
            needs_accept=surroundings.needs_accept,
        )
        self.target = TargetDesk(self.connector_id, self._identity)
        self._completion = Completion(
            surroundings.database, surroundings.clock, self._identity, self._on_paired, self._meet, self._on_rolled_back
        )
        self.parting = PartingDesk(
            database=surroundings.database,
            catalogue=surroundings.catalogue,
            connector_id=self.connector_id,
            identity=self._identity,
            clock=surroundings.clock,
            present=lambda: (self.pair, self.runner),
            on_over=self._on_over,
            ring=self._ring,
        )
        self._given_up = GivenUp(surroundings.database, self.connector_id)
        self._state = LINK_TABLE.start
        self._since_ms = surroundings.clock.wall_ms()
        self._next_attempt_ms = 0
        self._peer_linked = False
        self._problem = self._problem_code = ""
        # Of this link: what the hub refused last, the pair that it knows of, whether it was told of all that is over.
        self._notice, self._known_pair_id, self._told_all = "", b"", False
        self._link: Link | None = None
        self._carried_bytes = (0, 0)  # by links of this start that are over
        self._claiming = 0
        self._look_again = asyncio.Event()
        self._put_off: list[ForEngine] = []
        self._some_put_off = asyncio.Event()
        self._calls_made = asyncio.Event()
        self._roll_back_task: asyncio.Task[None] | None = None
        self._hello_task: asyncio.Task[None] | None = None
        self._parting_task: asyncio.Task[None] | None = None
        self._time_task: asyncio.Task[None] | None = None
        if pair is not None:
            self._make_calls(pair)

    def _identity(self) -> Identity:
        return self._around.enrolment.identity

    def _ring(self, what: str) -> None:
        self._around.ring(self.connector_id, what)

    # --- what people see ------------------------------------------------------------------------------------------------

    @property
    def view(self) -> LinkView:
        """The link as it is now."""
        round_trip_ms = self._link.round_trip_ms if self._link is not None else 0.0
        sent, received = self._carried_bytes
        if self._link is not None:
            sent, received = sent + self._link.bytes_sent, received + self._link.bytes_received
        return LinkView(
            self._state,
            self._since_ms,
            round_trip_ms,
            self._next_attempt_ms,
            self._peer_linked,
            self._notice or self._problem or self._completion.waits_for,
            sent,
            received,
            self._problem_code,
            self._link.silent_s if self._link is not None else 0.0,
        )

    async def claim(self, *, site_name: str, source_connector: str, code: str) -> Pair:
        """Claim a source as this target (W3); returns the pending pair. Raises Refused."""
        if self.pair is not None:
            raise Refused("target_paired")
        self._claiming += 1
        self._look_again.set()
        try:
            agreed = await self.target.claim(
                site_name=site_name, source_connector=source_connector, code=code, link_wait_s=10
            )
            now_ms = self._around.clock.wall_ms()

            def after(outcome: Pair | BaseException) -> None:
                if isinstance(outcome, Pair):
                    self._on_agreed(outcome)

            return await self._around.database.write(
                lambda c: connectors.save_agreed(c, self.connector_id, Side.TARGET, agreed, now_ms), after
            )
        finally:
            self._claiming -= 1

    async def reload(self) -> None:
        """Look again what the connector is to do: whether a link is wanted (enabled, disabled, a window opened), its budget."""
        connector = await self._around.database.read(lambda c: connectors.get_connector(c, self.connector_id))
        self.disabled = connector.disabled
        if connector.drain_bytes_per_s != self._drain_bytes_per_s:
            self._drain_bytes_per_s = connector.drain_bytes_per_s
            if self.runner is not None:
                await self.runner.set_drain_budget(self.drain_bytes_per_s)
        self._look_again.set()

    # --- pair states --------------------------------------------------------------------------------------------------

    def _make_calls(self, pair: Pair) -> None:
        self.calls = Calls(pair.keys, self._around.clock, self._answer)
        self._calls_made.set()
        if pair.state is PairState.PAIRED:
            self._make_runner(pair)

    @property
    def drain_bytes_per_s(self) -> int:
        """What a backlog may take of the link; 0 for no bound."""
        own = self._drain_bytes_per_s
        return self._around.limits.drain_bytes_per_s if own is None else own

    def _make_runner(self, pair: Pair) -> None:
        if self.runner is None:
            self.runner = PairRunner(
                database=self._around.database,
                catalogue=self._around.catalogue,
                pair=pair,
                site_id=self._identity().site_id,
                limits=replace(self._around.limits, drain_bytes_per_s=self.drain_bytes_per_s),
                clock=self._around.clock,
                guard=self._around.guard,
                ring=self._ring,
                crowd=self._around.crowd,
            )

    def _answer(self, method: str, body: bytes) -> bytes | Callable[[], Awaitable[bytes]]:
        if method == HELLO_METHOD:
            return self._answer_hello
        return self._around.answer(self.connector_id, method, body)

    async def _answer_hello(self) -> bytes:
        if self.pair is None:
            raise Refused("rolled_back")
        return await self._completion.on_hello(self.pair)

    def _on_agreed(self, pair: Pair) -> None:
        self.pair = pair
        self._make_calls(pair)
        self._roll_back_when_due(pair)
        self._look_again.set()
        if self._link is not None:
            self._link.send(PresentPair(pair.certificate))
        self._ring("pairing")

    def _roll_back_when_due(self, pair: Pair) -> None:
        if pair.side is Side.SOURCE and pair.state is PairState.PENDING:
            _cancel(self._roll_back_task)
            self._roll_back_task = self._keep("undoing the pair", lambda: self._completion.roll_back_when_due(pair))

    def _on_paired(self, pair: Pair) -> None:
        """The pair is complete on disk: it is at work from here on, whatever becomes of this link (G1, G15)."""
        if self.runner is not None or not self._is_present(pair):
            return
        self.pair = pair
        self._make_runner(pair)
        self._keep_time()
        _log.info(
            "paired with '%s'", pair.peer_site_name, extra={"connector": self.connector_id, "pair": pair.pair_id.hex()}
        )
        self._ring("pairing")

    def _keep_time(self) -> None:
        if self.runner is not None and (self._time_task is None or self._time_task.done()):
            self._time_task = self._keep("the time of a pair", self.runner.keep_time)

    def _keep(self, what: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.ensure_future(supervised(what, work, {"connector": self.connector_id}))

    async def _meet(self) -> None:
        """Open the present link to the engine of a pair that was completed on it, unless that is done.

        What fails of it is done by the next hello, or the next link: its first statements compare the resources, too.
        """
        runner, link = self.runner, self._link
        if runner is None or runner.credit is not None or link is None or link.hello is None:
            return
        await runner.open_link(link, peer_linked=self._peer_linked, credit_bytes=link.hello.credit_bytes)
        link.send(AskHeld())  # the hub said what it holds before there was an engine to hear it
        await runner.introduce()

    def _is_present(self, pair: Pair) -> bool:
        """Whether this is the pair that the connector is in, in whatever state."""
        return self.pair is not None and self.pair.pair_id == pair.pair_id

    def _on_rolled_back(self, pair: Pair, reason: str, packed: bytes) -> None:
        """The pair was undone; `packed` is the signed word about it, where it is this side's to tell."""
        self._tell_dissolved(packed)
        if self._is_present(pair):
            self._problem = str(refused_there(reason, {}))
            self._on_over()

    def _on_over(self) -> None:
        """The pair is over: from here on this connector has no peer, whatever is still under way."""
        self.pair = self.calls = self.runner = None
        self._peer_linked = False
        self._calls_made.set()
        for task in (self._time_task, self._roll_back_task, self._hello_task):
            _cancel(task)
        self._time_task = None
        self._parting_task = self._keep("what follows the end of a pair", self._after_over)
        self._ring("pairing")

    async def _after_over(self) -> None:
        await self.parting.load()
        if self._link is not None:
            await self.source.open_link(self._link.send)  # this link was opened for the pair; now it may carry windows
        self._look_again.set()
        for what in ("pairing", "parting", "devices"):
            self._ring(what)

    def _tell_dissolved(self, packed: bytes) -> None:
        if packed:
            self._given_up.add(packed)
        self._look_again.set()

    async def accept_claimant(self) -> None:
        """Source: a person accepts who claimed; the target's next hello completes the pair. Raises Refused."""

        def after(outcome: Pair | BaseException) -> None:
            # With the commit: it may be undone in the same one, and who accepted may be gone (G15).
            if isinstance(outcome, Pair) and self._is_present(outcome):
                self.pair = outcome
                self._ring("pairing")

        await self._around.database.write(lambda c: connectors.accept_pending(c, self.connector_id), after)

    async def refuse_claimant(self) -> None:
        """Source: a person refuses who claimed; both sides forget the pair. Raises Refused('not_found')."""
        if self.pair is None or self.pair.side is not Side.SOURCE or self.pair.state is not PairState.PENDING:
            raise Refused("not_found", what="pairing to refuse")
        await self._completion.roll_back(self.pair, "pairing_declined")

    # --- the link -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a link up while one is wanted, until cancelled; to be run again where an error ended it."""
        backoff, away = Backoff(), Backoff()
        self._state = LINK_TABLE.start  # wherever an error left it
        try:
            self._keep_time()
            if self.pair is not None:
                self._roll_back_when_due(self.pair)
            await self._given_up.load()
            await self.parting.load()
            while True:
                await self._until_wanted()
                started_ms = self._around.clock.monotonic_ms()
                self._move(LinkEvent.WANTED if self._state is LinkState.IDLE else LinkEvent.TIME_UP)
                try:
                    await self._link_once()
                except Exception as error:  # noqa: BLE001  # whatever it is, it costs this link and no more
                    end_if_cancelled(error)
                    self._on_lost(error)
                was_linked = self._state is LinkState.LINKED
                lived_ms = self._around.clock.monotonic_ms() - started_ms if was_linked else 0
                hub = self._around.enrolment.hub
                # Patience is for a hub that answers: that one was away for long must not make the way back longer.
                if is_there := hub is None or hub.is_reachable:
                    away = Backoff()
                patience = backoff if is_there else away
                wait_ms = patience.next_ms(lived_ms=lived_ms, chance=secrets.randbelow(1 << 24) / (1 << 24))
                self._next_attempt_ms = self._around.clock.wall_ms() + wait_ms
                self._move(LinkEvent.LOST)
                await self._pause(wait_ms / SECOND_MS)
        except Exception as error:
            self._problem, self._problem_code = _reason(error), ""
            raise
        finally:
            for task in (self._roll_back_task, self._time_task, self._parting_task):
                _cancel(task)
            self._time_task = None

    def _on_lost(self, error: Exception) -> None:
        """Keep why a link ended, for people, and log it."""
        self._problem, self._problem_code = _reason(error), getattr(error, "code", "")
        is_expected = isinstance(error, _ENDS_OF_A_LINK)
        _log.log(
            logging.INFO if is_expected else logging.ERROR,
            "link lost: %s",
            error,
            exc_info=None if is_expected else error,
            extra={"connector": self.connector_id},
        )

    async def _pause(self, wait_s: float) -> None:
        """Wait for the next attempt, or until a hub that could not be reached is back."""
        hub = self._around.enrolment.hub
        if hub is None or hub.is_reachable:
            await asyncio.sleep(wait_s)
        else:
            await hub.watch.wait(wait_s)

    async def _until_wanted(self) -> None:
        while not await self._wanted():
            if self._state is not LinkState.IDLE:
                self._move(LinkEvent.UNWANTED)
            self._look_again.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_LOOK_S):
                    await self._look_again.wait()

    async def _wanted(self) -> bool:
        if self.disabled or self._around.enrolment.hub is None:
            return False
        if self.pair is not None or self._claiming or self.parting.untold or self._given_up.untold:
            return True
        window = await self.source.window()
        return window is not None and window.open

    def _move(self, event: LinkEvent) -> None:
        self._state = LINK_TABLE.after(self._state, event)
        self._since_ms = self._around.clock.wall_ms()
        self._ring("link")

    async def _link_once(self) -> None:
        hub = self._around.enrolment.hub
        if hub is None:
            raise LinkLost("no hub is set")
        await self._around.enrolment.ensure()
        now_s = self._around.clock.wall_ms() / SECOND_MS
        try:
            socket = await hub.open(self._identity(), self.connector_id, self._around.start_id, now_s)
        except Refused as refused:
            if refused.code in ("site_unknown", "certificate_refused"):
                # A hub that lost its disk: show the certificate, or enrol anew where even its key is new.
                await self._around.enrolment.ensure(forgotten=True)
            raise
        link = Link(socket, self._around.start_id, self._at_once, lambda: self._ring("link"), self._begin)
        try:
            hello = await link.greet()
            clock = self._around.clock
            self._around.guard.on_hub_time(hello.time_ms, clock.wall_ms(), clock.monotonic_ms())
            await self._use(link)
        finally:
            await link.close()

    async def _use(self, link: Link) -> None:
        """Carry what there is to carry over an open link, until it ends."""
        self._link = link
        beside: list[asyncio.Task[None]] = []
        try:
            self._problem = self._problem_code = ""
            self._move(LinkEvent.CONNECTED)
            _log.info("linked to the hub", extra={"connector": self.connector_id})
            self._put_off = []
            self._some_put_off.clear()
            beside += [
                self._keep("the look whether a link is wanted", lambda: self._end_unwanted(link)),
                self._keep("answering questions", self._answer_calls),
                self._keep("taking what was put off", self._take_put_off),
                self._keep("telling the hub again", lambda: self._tell_again(link)),
            ]
            await self._open(link)
            await link.run(lambda frames: self._handle(link, frames))
        finally:
            if self._hello_task is not None:
                beside.append(self._hello_task)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            sent, received = self._carried_bytes
            self._carried_bytes = (sent + link.bytes_sent, received + link.bytes_received)
            self._link = None
            self._peer_linked = False
            self._notice, self._known_pair_id, self._told_all = "", b"", False
            await self._close()

    async def _end_unwanted(self, link: Link) -> None:
        while await self._wanted():  # noqa: ASYNC110  # a window's end is a time, not an event
            await asyncio.sleep(_IDLE_LOOK_S)
        link.abort("the link is not needed any more")

    async def _answer_calls(self) -> None:
        """Answer the peer's questions; a pairing on this link brings a new peer, and new keys, with it."""
        self._calls_made.set()
        answering: asyncio.Task[None] | None = None
        try:
            while True:
                await self._calls_made.wait()
                self._calls_made.clear()
                if answering is not None:
                    answering.cancel()
                answering = None if self.calls is None else self._keep("answering questions", self.calls.run)
        finally:
            if answering is not None:
                answering.cancel()

    async def _open(self, link: Link) -> None:
        self.target.open_link(link.send)
        # Before a window and a new pair: the hub has to know that the connector is free.
        self.parting.open_link(link.send)
        self._given_up.open_link(link.send)
        if self.pair is None:
            await self.source.open_link(link.send)
        else:
            link.send(PresentPair(self.pair.certificate))

    async def _tell_again(self, link: Link) -> None:
        """Say once more what the hub has refused, or could not store: its disk is well again, or it knows better now."""
        while True:
            await asyncio.sleep(TOLD_AGAIN_EVERY_S)
            self.parting.tell_again()
            self._given_up.tell_again()
            if self.pair is not None and self._known_pair_id != self.pair.pair_id:
                link.send(PresentPair(self.pair.certificate))

    async def _close(self) -> None:
        """Tell all parts that the link is gone; what one cannot store is made up for by the next link."""
        self.target.close_link()
        self.parting.close_link()
        self._given_up.close_link()
        if self.calls is not None:
            self.calls.close_link()
        for close in (*([] if self.runner is None else [self.runner.close_link]), self.source.close_link):
            try:
                await close()
            except Exception as error:  # noqa: BLE001  # it must not take the place of why the link ended
                end_if_cancelled(error)
                _log.warning("the end of a link: %s", _reason(error), extra={"connector": self.connector_id})

    # --- frames ---------------------------------------------------------------------------------------------------------

    def _at_once(self, frame: AnyFrame) -> bool:
        """Take a question or an answer of a live call."""
        if not isinstance(frame, Sealed) or self.calls is None or not self.calls.is_call(frame):
            return False
        self.calls.on_frame(frame)
        return True

    def _begin(self, link: Link, frame: AnyFrame) -> bool:
        """Hand a frame to the engine, where nothing stands in the way; nobody waits for what becomes of it."""
        around = self._around
        if self.runner is None or not isinstance(frame, _FOR_ENGINE) or around.reserve.is_touched:
            return False
        return around.database.trouble is None and self.runner.begin_take(frame, link.fail)

    async def _handle(self, link: Link, frames: list[AnyFrame]) -> None:
        for_engine: list[ForEngine] = []
        for frame in frames:
            if isinstance(frame, _FOR_ENGINE):
                for_engine.append(frame)
            else:
                await self._take(for_engine)
                for_engine = []
                await self._on_frame(link, frame)
        await self._take(for_engine)

    async def _take(self, frames: list[ForEngine]) -> None:
        if self._around.reserve.is_touched:
            self._put_off += [frame for frame in frames if _is_segment(frame)]
            self._some_put_off.set()
            frames = [frame for frame in frames if not _is_segment(frame)]
        if frames and self.runner is not None:
            await self._around.database.until_storing()
            await self.runner.take(frames)

    async def _take_put_off(self) -> None:
        """Take the segments that came while the disk had nothing but its reserve, once there is room.

        They are as many as there is credit for, which is not given again meanwhile; nothing of them is acknowledged.
        """
        while True:
            await self._some_put_off.wait()
            await asyncio.sleep(STORE_TRIED_EVERY_S)
            if not self._around.reserve.is_touched:
                self._some_put_off.clear()
                frames, self._put_off = self._put_off, []
                with suppress(StorageFailed):  # the link ends with it, and all of it comes again
                    await self._take(frames)

    async def _on_frame(self, link: Link, frame: AnyFrame) -> None:
        match frame:
            case WindowOpened():
                self.source.on_filed()
            case Knock():
                await self.source.on_knock(frame)
            case ClaimStep():
                self.target.on_step(frame)
                await self.source.on_step(frame)
            case ClaimRefused():
                self.target.on_refused(frame)
                await self.source.on_claim_over(frame)
                if frame.code == "target_paired" and self.pair is None:
                    await self._tell_all(link)
            case PairKnown():
                await self._on_pair_known(link, frame)
            case PeerPresence():
                self._peer_linked = frame.linked
                if frame.linked:
                    self._completion.on_peer_linked()
                if self.runner is not None:
                    await self._around.database.until_storing()
                    await self.runner.set_presence(linked=frame.linked)
                self._ring("link")
            case PairDissolved():
                if self._given_up.on_answer(frame.dissolution):
                    await self._on_heard()
                elif self.pair is not None:
                    await self._completion.on_dissolved(self.pair, frame)
            case PairParted():
                await self.parting.on_parted(frame)
                await self._on_heard()
            case Notice():
                await self._on_notice(link, frame)
            case _:
                raise ProtocolError(f"the hub sent {type(frame).__name__}, which is a connector's")

    async def _on_pair_known(self, link: Link, known: PairKnown) -> None:
        if self.pair is None or known.pair_id != self.pair.pair_id or link.hello is None:
            return
        self._notice, self._known_pair_id = "", known.pair_id
        self._peer_linked = known.peer_linked
        if self.calls is not None:
            self.calls.open_link(link.send)
        if self.runner is not None:
            await self._around.database.until_storing()
            await self.runner.open_link(link, peer_linked=known.peer_linked, credit_bytes=link.hello.credit_bytes)
        elif self.pair.side is Side.TARGET and self.calls is not None:
            _cancel(self._hello_task)
            pair, calls = self.pair, self.calls
            self._hello_task = self._keep("saying hello", lambda: self._completion.say_hello(pair, calls))
        self._ring("link")

    async def _on_heard(self) -> None:
        """The hub knows that a pair is over: what it refused because of that is asked once more."""
        self._notice = ""
        if self.pair is None and self._link is not None and not self.source.filed:
            await self.source.open_link(self._link.send)
        self._look_again.set()

    async def _on_notice(self, link: Link, notice: Notice) -> None:
        if notice.code == "peer_not_linked" and self.calls is not None:
            self.calls.on_peer_not_linked(notice.ref)
            return
        here = {"storage_failed": "hub_storage_failed"}.get(notice.code, notice.code)
        self._notice = str(refused_there(here, notice.facts))
        if notice.code == "storage_failed":
            self._given_up.on_hub_failed()
        if notice.code == ("source_paired" if self.pair is None else "pair_conflict"):
            self._known_pair_id = b""
            await self._tell_all(link)
        self._ring("link")

    async def _tell_all(self, link: Link) -> None:
        """The hub knows a pair that is long over (it was restored, or was not there then): tell it so, once on a link."""
        if self._told_all:
            return
        self._told_all = True
        await self.parting.tell_all()
        await self._given_up.load()
        if self.pair is not None:
            link.send(PresentPair(self.pair.certificate))


def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()


def _reason(error: Exception) -> str:
    """Say to people why a link ended."""
    if isinstance(error, _ENDS_OF_A_LINK):
        return str(error)
    return f"an error of this program ended the link ({type(error).__name__}: {error}); it is tried again"


def _is_segment(frame: ForEngine) -> bool:
    return isinstance(frame, Sealed) and len(frame.header) > 1 and frame.header[1] == Kind.SEGMENT
