"""Both sides of a pairing over a connector's link (SECURITY, pairing): windows and knocks, claims, hello and welcome.

What has to survive is in the database before anything is answered; a claim itself lives in memory only and is lost
with the link or the process, its attempt already counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress

from connector import connectors
from connector.calls import Calls
from connector.connectors import Pair
from connector.identity import Identity
from shared.certificates import Dissolution, pack, read_dissolution, sign
from shared.clock import Clock
from shared.core.completion import HELLO_METHOD, ROLL_BACK_GRACE_MS, WELCOME_ANSWER, PairEvent, PairState
from shared.core.window import Window, WindowState
from shared.database import Database
from shared.errors import Refused, refused_there
from shared.limits import CLAIM_DEADLINE_MS, PAIR_HELLO_EVERY_MS, WINDOW_MS, WINDOW_MS_MAX, WINDOW_MS_MIN
from shared.messages import AnyFrame, Claim, ClaimRefused, ClaimStep, CloseWindow, Knock, OpenWindow, PairDissolved
from shared.names import make_code, read_code
from shared.pairing import Agreed, SourcePairing, TargetPairing
from shared.sealing import Side

_log = logging.getLogger(__name__)
Send = Callable[[AnyFrame], None]
# How soon a wall clock that somebody set forward is noticed while a pending pair waits for its time.
_WALL_STEP_S = 1.0


class SourceDesk:
    """The source's side: one window, one claim at a time."""

    def __init__(
        self,
        database: Database,
        connector_id: str,
        identity: Callable[[], Identity],
        clock: Clock,
        on_agreed: Callable[[Pair], None],
        ring: Callable[[str], None],
        *,
        needs_accept: bool,
    ) -> None:
        """`on_agreed` is called on the event loop with the commit that filed a pair.

        `needs_accept`: a person has to accept each claimant before the pair is complete (a setting).
        """
        self._needs_accept = needs_accept
        self._database = database
        self._connector_id = connector_id
        self._identity = identity
        self._clock = clock
        self._on_agreed = on_agreed
        self._ring = ring
        self._send: Send | None = None
        self._claim_id = b""
        self._pairing: SourcePairing | None = None
        self.claimant = ""
        self.filed = False  # the hub has confirmed the window on this link

    async def window(self) -> Window | None:
        """Return the last window as it stands now."""
        found = await self._database.read(lambda c: connectors.find_window(c, self._connector_id))
        return found.on_time(self._clock.wall_ms()) if found else None

    async def enable(self, for_ms: int = WINDOW_MS) -> Window:
        """Open a pairing window (W1); raises Refused('source_paired', 'not_source', 'connector_disabled', 'window_open')."""
        if not WINDOW_MS_MIN <= for_ms <= WINDOW_MS_MAX:
            raise Refused("invalid", what="Window", why="it lasts 3 to 15 minutes")
        now_ms = self._clock.wall_ms()
        fresh = Window(secrets.token_bytes(16), make_code(secrets.token_bytes(8)), now_ms, now_ms + for_ms)

        def unit(connection: sqlite3.Connection) -> Window:
            connector = connectors.get_connector(connection, self._connector_id)
            if connector.disabled:
                raise Refused("connector_disabled")
            if connectors.find_pair(connection, self._connector_id) is not None:
                raise Refused("source_paired")
            if connector.role != "standalone":
                raise Refused("not_source")
            current = connectors.find_window(connection, self._connector_id)
            if current is not None and current.on_time(now_ms).open:
                raise Refused("window_open")
            connectors.save_window(connection, self._connector_id, fresh)
            return fresh

        window = await self._database.write(unit)
        self._file(window)
        self._ring("pairing")
        return window

    async def cancel(self) -> None:
        """Close an open window, or put the page back to idle after one that is over."""

        def unit(connection: sqlite3.Connection) -> Window | None:
            window = connectors.find_window(connection, self._connector_id)
            if window is None:
                return None
            if window.on_time(self._clock.wall_ms()).open:
                connectors.save_window(connection, self._connector_id, window.on_cancel())
            else:
                connectors.forget_window(connection, self._connector_id)
            return window

        window = await self._database.write(unit)
        self._end_claim()
        if window is not None and self._send is not None:
            self._send(CloseWindow(window.window_id))
        self._ring("pairing")

    # --- the link -----------------------------------------------------------------------------------------------------

    async def open_link(self, send: Send) -> None:
        """The link is up: file an open window (again)."""
        self._send = send
        self.filed = False
        await self._lose_claim()
        window = await self.window()
        if window is not None and window.open:
            self._file(window)

    async def close_link(self) -> None:
        """The link is gone, and a claim with it."""
        self._send = None
        self.filed = False
        await self._lose_claim()

    def on_filed(self) -> None:
        """The hub has filed the window: claims can come."""
        self.filed = True
        self._ring("pairing")

    def _file(self, window: Window) -> None:
        left_ms = window.expires_ms - self._clock.wall_ms()
        if self._send is not None and left_ms > 0:
            self._send(OpenWindow(window.window_id, left_ms))

    async def _change(self, change: Callable[[Window], Window]) -> Window:
        def unit(connection: sqlite3.Connection) -> Window:
            window = connectors.find_window(connection, self._connector_id)
            if window is None:
                raise Refused("no_such_window")
            window = change(window)
            connectors.save_window(connection, self._connector_id, window)
            return window

        window = await self._database.write(unit)
        self._ring("pairing")
        return window

    async def _lose_claim(self) -> None:
        """A claim that was under way (also in a process before this one) is over; its attempt stays counted."""
        self._end_claim()
        window = await self._database.read(lambda c: connectors.find_window(c, self._connector_id))
        if window is not None and window.state is WindowState.CLAIMING:
            await self._change(lambda w: w.on_claim_lost() if w.state is WindowState.CLAIMING else w)

    def _end_claim(self) -> None:
        self._pairing = None
        self._claim_id = b""
        self.claimant = ""

    # --- a claim --------------------------------------------------------------------------------------------------------

    async def on_knock(self, knock: Knock) -> None:
        """Somebody claims: count the attempt on disk, then answer."""
        try:
            if self._pairing is not None:
                raise Refused("source_busy")
            now_ms = self._clock.wall_ms()
            current = await self.window()
            if current is None or not current.code:
                raise Refused("window_closed" if current and current.state is WindowState.CLOSED else "no_such_window")
            pairing = SourcePairing(
                me=self._identity().party(self._connector_id),
                key=self._identity().identity_private,
                code=read_code(current.code) or "",
                window_id=current.window_id,
                expires_ms=current.expires_ms,
                chance=secrets.token_bytes,
            )
            counter = await asyncio.to_thread(pairing.on_offer, knock.body)
            await self._change(lambda window: window.on_knock(now_ms))
        except Refused as refused:
            self._refuse(knock.claim_id, refused)
            return
        self._pairing, self._claim_id, self.claimant = pairing, knock.claim_id, knock.site_name
        self._step(knock.claim_id, counter)

    async def on_step(self, step: ClaimStep) -> None:
        """The claimant's proof: right, and we are paired (pending); wrong, and the attempt is gone."""
        pairing = self._pairing
        if pairing is None or step.claim_id != self._claim_id:
            return
        self._end_claim()
        try:
            completion, agreed = await asyncio.to_thread(pairing.on_proof, step.body)
        except Refused as refused:
            await self._on_wrong_proof(step.claim_id, refused)
            return

        def after(outcome: tuple[Pair, Window] | BaseException) -> None:
            """Follow the commit, also where the link ended meanwhile and nobody waits any more (G15)."""
            if isinstance(outcome, BaseException):
                return
            pair, window = outcome
            try:
                self._step(step.claim_id, completion)
                if self._send is not None:
                    self._send(CloseWindow(window.window_id))
            finally:
                self._on_agreed(pair)

        try:
            await self._database.write(lambda connection: self._agree(connection, agreed), after)
        except Refused as refused:
            self._refuse(step.claim_id, refused)

    async def _on_wrong_proof(self, claim_id: bytes, why: Refused) -> None:
        window = await self._change(lambda window: window.on_wrong_code())
        if window.state is WindowState.CLOSED:
            why = Refused("window_closed")
            if self._send is not None:
                self._send(CloseWindow(window.window_id))
        elif why.code == "wrong_code":
            why = Refused("wrong_code", attempts_left=window.attempts_left)
        self._refuse(claim_id, why)

    def _agree(self, connection: sqlite3.Connection, agreed: Agreed) -> tuple[Pair, Window]:
        """The one transaction that decides (G15): window used up and pair filed, or neither."""
        now_ms = self._clock.wall_ms()
        window = connectors.find_window(connection, self._connector_id)
        if window is None:
            raise Refused("no_such_window")
        used = window.on_proved(now_ms)
        connectors.save_window(connection, self._connector_id, used)
        connectors.save_agreed(connection, self._connector_id, Side.SOURCE, agreed, now_ms)
        connectors.hold_pending(
            connection,
            self._connector_id,
            roll_back_ms=window.expires_ms + ROLL_BACK_GRACE_MS,
            needs_accept=self._needs_accept,
        )
        pair = connectors.find_pair(connection, self._connector_id)
        assert pair is not None
        return pair, used

    async def on_claim_over(self, over: ClaimRefused) -> None:
        """The hub or the claimant gave the claim up."""
        if over.claim_id == self._claim_id:
            await self._lose_claim()

    def _step(self, claim_id: bytes, body: bytes) -> None:
        if self._send is not None:
            self._send(ClaimStep(claim_id, body))

    def _refuse(self, claim_id: bytes, refused: Refused) -> None:
        if self._send is not None:
            facts = {name: str(value) for name, value in refused.facts.items()}
            self._send(ClaimRefused(claim_id, refused.code, facts))


class TargetDesk:
    """The target's side of one claim."""

    def __init__(self, connector_id: str, identity: Callable[[], Identity]) -> None:
        self._connector_id = connector_id
        self._identity = identity
        self._send: Send | None = None
        self._linked = asyncio.Event()
        self._claim_id = b""
        self._arrived: asyncio.Queue[bytes | Refused] = asyncio.Queue(8)

    def open_link(self, send: Send) -> None:
        """The link is up: claims can be made."""
        self._send = send
        self._linked.set()

    def close_link(self) -> None:
        """The link is gone, and a claim under way with it."""
        self._send = None
        self._linked.clear()
        self._put(Refused("hub_not_reachable"))

    def on_step(self, step: ClaimStep) -> None:
        """A message of the source."""
        if step.claim_id == self._claim_id:
            self._put(step.body)

    def on_refused(self, refused: ClaimRefused) -> None:
        """The claim was refused by the source or the hub."""
        if refused.claim_id == self._claim_id:
            self._put(refused_there(refused.code, refused.facts))

    def _put(self, message: bytes | Refused) -> None:
        if self._claim_id and not self._arrived.full():
            self._arrived.put_nowait(message)

    async def claim(self, *, site_name: str, source_connector: str, code: str, link_wait_s: float) -> Agreed:
        """Claim a source; returns what was agreed. Raises Refused with the reason, in the words of the one who refused."""
        symbols = read_code(code)
        if symbols is None:
            raise Refused("mistyped_code")
        if source_connector == self._connector_id:
            raise Refused("same_connector")
        try:
            async with asyncio.timeout(link_wait_s):
                await self._linked.wait()
        except TimeoutError:
            raise Refused("hub_not_reachable") from None
        pairing = TargetPairing(
            me=self._identity().party(self._connector_id),
            key=self._identity().identity_private,
            code=symbols,
            source_site=site_name,
            source_connector=source_connector,
            chance=secrets.token_bytes,
        )
        self._claim_id = secrets.token_bytes(16)
        self._arrived = asyncio.Queue(8)
        try:
            async with asyncio.timeout(CLAIM_DEADLINE_MS / 1000 + 2):
                self._tell(Claim(self._claim_id, site_name, source_connector, pairing.offer()))
                proof = await asyncio.to_thread(pairing.on_counter, await self._next())
                self._tell(ClaimStep(self._claim_id, proof))
                return await asyncio.to_thread(pairing.on_completion, await self._next())
        except TimeoutError:
            raise Refused("claim_timed_out") from None
        except Refused as refused:
            if refused.code == "pairing_forged":
                self._tell(ClaimRefused(self._claim_id, "pairing_forged", {}))
            raise
        finally:
            self._claim_id = b""

    def _tell(self, frame: AnyFrame) -> None:
        if self._send is None:
            raise Refused("hub_not_reachable")
        self._send(frame)

    async def _next(self) -> bytes:
        message = await self._arrived.get()
        if isinstance(message, Refused):
            raise message
        return message


class Completion:
    """Hello and welcome: how a pending pair becomes paired, or is rolled back."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        identity: Callable[[], Identity],
        on_paired: Callable[[Pair], None],
        meet: Callable[[], Awaitable[None]],
        on_rolled_back: Callable[[Pair, str, bytes], None],
    ) -> None:
        """`on_paired` and `on_rolled_back` are called on the event loop with the commit they speak of, at least once.

        Whoever waits for that commit may be gone by then: with the link, or the request of a person. `meet` opens the
        present link to a pair at work. `on_rolled_back` is told which pair, the reason, and the source's signed word, which
        is empty where it is not this commit that gives it.
        """
        self._database = database
        self._clock = clock
        self._identity = identity
        self._on_paired = on_paired
        self._meet = meet
        self._on_rolled_back = on_rolled_back
        self._peer_came = asyncio.Event()
        self.waits_for = ""
        """What a pending target waits for, in words; empty where there is nothing to say."""

    async def say_hello(self, pair: Pair, calls: Calls) -> None:
        """Target: repeat the first sealed message until the source welcomes it."""
        while not await self._is_welcomed(pair, calls):
            self._peer_came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAIR_HELLO_EVERY_MS / 1000):
                    await self._peer_came.wait()

    async def _is_welcomed(self, pair: Pair, calls: Calls) -> bool:
        """Say hello once; return whether the pair is complete here, on disk too."""
        try:
            answer = await calls.ask(HELLO_METHOD, b"", PAIR_HELLO_EVERY_MS / 1000)
            if answer.body != WELCOME_ANSWER:
                return False
            self.waits_for = ""
            await self._complete(pair, PairEvent.WELCOMED)
        except Refused as refused:
            self.waits_for = str(refused) if refused.code == "waits_for_accept" else ""
            _log.info("no welcome yet: %s", refused.code, extra={"connector": pair.connector_id})
            return False
        return True

    def on_peer_linked(self) -> None:
        """The other side got its link: say hello at once instead of at the next turn."""
        self._peer_came.set()

    async def on_hello(self, pair: Pair) -> bytes:
        """Source: the target has the keys; paired, durable before the welcome."""
        if pair.side is not Side.SOURCE:
            raise Refused("forbidden", why="only a target says hello")
        current = await self._database.read(lambda c: connectors.find_pair(c, pair.connector_id))
        if current is not None and not current.accepted:
            raise Refused("waits_for_accept")
        if not await self._complete(pair, PairEvent.HELLO_OPENED):
            raise Refused("rolled_back")
        return WELCOME_ANSWER

    async def _complete(self, pair: Pair, event: PairEvent) -> bool:
        """Complete the pair and have it put to work, also where it was complete before; no where it is gone."""
        now_ms = self._clock.wall_ms()

        def after(outcome: Pair | BaseException | None) -> None:
            if isinstance(outcome, Pair):
                self._on_paired(outcome)

        def unit(connection: sqlite3.Connection) -> Pair | None:
            return connectors.complete_pair(connection, pair.connector_id, event, now_ms)

        completed = await self._database.write(unit, after)
        if completed is not None:
            await self._meet()
        return completed is not None

    async def roll_back_when_due(self, pair: Pair) -> None:
        """Source: wait until the pending pair's time is over, and undo it."""
        # In steps: the wall clock, by which the window is told, may be set meanwhile.
        while (wait_ms := pair.roll_back_ms - self._clock.wall_ms()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(wait_ms / 1000, _WALL_STEP_S))
        await self.roll_back(pair, "rolled_back")

    async def roll_back(self, pair: Pair, reason: str) -> None:
        """Source: undo the pair if it is still pending, and have it forgotten where it is not stored any more."""
        statement = Dissolution(pair.pair_id, reason)
        packed = pack(statement, [sign(self._identity().identity_private, statement)])

        def unit(connection: sqlite3.Connection) -> bytes | None:
            current = connectors.find_pair(connection, pair.connector_id)
            if current is None or current.pair_id != pair.pair_id:
                return b""
            if current.state is not PairState.PENDING:
                return None
            connectors.remove_pair(connection, pair.connector_id, PairEvent.WINDOW_OVER)
            connectors.save_dissolution(connection, pair.pair_id, pair.connector_id, packed, self._clock.wall_ms())
            return packed

        def after(outcome: bytes | BaseException | None) -> None:
            if isinstance(outcome, bytes):
                self._on_rolled_back(pair, reason, outcome)

        await self._database.write(unit, after)

    async def on_dissolved(self, pair: Pair, frame: PairDissolved) -> None:
        """Target: the source's signed word that it gave the pairing up; raises Refused where it is not genuine."""
        if pair.side is not Side.TARGET or pair.state is not PairState.PENDING:
            return  # a source hears its own word, of before it was restored: its time tells it the same
        dissolution = read_dissolution(frame.dissolution, pair.peer_identity_key)
        if dissolution.pair_id != pair.pair_id:
            return

        def after(outcome: BaseException | None) -> None:
            if outcome is None:
                self._on_rolled_back(pair, dissolution.reason, b"")

        await self._database.write(lambda c: connectors.remove_pair(c, pair.connector_id, PairEvent.DISSOLVED), after)
