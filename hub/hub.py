"""The hub as one thing: its links, registry, pairs and store, and what follows from each frame."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, assert_never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.websockets import WebSocket

from hub.admission import Admission, Admitted, Displacement, Nonces
from hub.blocked import BlockedAttempts, Door
from hub.links import CLOSE_DISPLACED, CLOSE_RESTART, CLOSE_REVOKED, Link
from hub.pair_desk import PairDesk, known_ends
from hub.rates import Rate, Relayed, RelayRates
from hub.repairs import HubRepairs
from hub.settings import HubSettings
from hub.store.interface import HubStore
from hub.store.rows import Pair, Site
from shared.certificates import public_bytes
from shared.clock import Clock
from shared.core.registry import Connector, Registry, Tell
from shared.errors import REFUSALS, ProtocolError, Refused, StorageFailed
from shared.limits import DRAIN_DEADLINE_S, LINKS_PER_SITE_MAX
from shared.messages import (
    AnyFrame,
    AskHeld,
    AskStatement,
    Claim,
    ClaimRefused,
    ClaimStep,
    CloseWindow,
    Credit,
    DissolvePair,
    Held,
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
from shared.notices.notice import Channel
from shared.served_certificate import ServedCertificate

_log = logging.getLogger(__name__)

# Tuples: a union would be made anew for each frame.
_RELAYED = (Sealed, Statement, AskStatement, AskHeld, Credit)
OpenStore = Callable[[], Awaitable[HubStore]]


class Hub:
    """Everything between the sockets and the store. Make it with `Hub.start`; `tasks` run its work for the store."""

    def __init__(
        self,
        settings: HubSettings,
        key: Ed25519PrivateKey,
        store: HubStore,
        *,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        on_change: Callable[[], None],
        channels: Sequence[Channel] = (),
    ) -> None:
        """`on_change` is called whenever a page may have to show something new; `channels` tell of repairs."""
        self.settings = settings
        self.key = key
        self.hub_key = public_bytes(key)
        self.store = store
        self.nonces = Nonces()
        self.links: dict[Connector, Link] = {}
        self.sites: dict[str, Site] = {}
        self.last_seen_ms: dict[str, int] = {}
        # Revoked, and not yet written down in this store: by site, who asked for it, and from where.
        self._unwritten: dict[tuple[str, str, str], Site] = {}
        self._writing = asyncio.Lock()
        self.registry = Registry(claims_per_minute=settings.claims_per_minute)
        self.on_change = on_change
        self.draining = False
        self.certificate: ServedCertificate | None = None
        """What it serves TLS with, once it is served; None where it does not."""
        self._tasks = tasks
        self._clock = clock
        self._time_base_ms = clock.wall_ms() - clock.monotonic_ms()
        self.started_ms = clock.wall_ms()
        self.blocked = BlockedAttempts(self.started_ms)
        self.repairs = HubRepairs(self, clock, channels)
        self._rates = RelayRates(self.now_ms())
        self._displacement = Displacement()
        self._admission = Admission(self.hub_key.hex(), self.sites.get, self.nonces)
        self._timer: asyncio.TimerHandle | None = None
        self.pairs = PairDesk(store, self.registry, self.sites, now=self.now_ms, spawn=self._spawn)

    @property
    def admission(self) -> Admission:
        """The rule by which assertions are checked."""
        return self._admission

    async def load(self) -> None:
        """Take up what the store knows; raises StorageFailed."""
        self._take_up(await self.store.sites(), await self.store.pairs())
        self.pairs.restart(self.store, self.registry)
        await self.repairs.load()

    def _take_up(self, sites: list[Site], pairs: list[Pair]) -> None:
        known = {site.site_id: site.revoked_ms for site in sites}
        unwritten = {one.site_id for one in self._unwritten.values()}
        for one in self.sites.values():  # written in a store that is lost, and perhaps not in this one
            if one.revoked_ms is not None and known.get(one.site_id) is None and one.site_id not in unwritten:
                self._unwritten[one.site_id, "pairhub", ""] = one
        self.sites.clear()
        self.sites.update({site.site_id: self._as_shut_out(site) for site in sites})
        self.registry = Registry(claims_per_minute=self.settings.claims_per_minute)
        for pair in pairs:
            self.registry.on_paired(pair.certificate, known_ends(pair.certificate, self.sites))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work beside the links. An error in it is a bug; it is logged, and ends nothing else (G7)."""
        return self._tasks.create_task(_contained(work))

    # --- time --------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The hub's time in ms: the wall clock at its start, counted on by the monotonic one, so it never jumps."""
        return self._time_base_ms + self._clock.monotonic_ms()

    def wall_ms(self) -> int:
        """The wall clock in ms since 1970, which others see."""
        return self._clock.wall_ms()

    # --- links -------------------------------------------------------------------------------------------------------

    def admit(self, websocket: WebSocket) -> Admitted:
        """Decide on an upgrade request; raises Refused."""
        try:
            admitted = self._admission.admit(websocket.headers, self.now_ms())
            if (older := self.links.get(admitted.connector)) is not None:
                self._displacement.check(admitted.connector, older.start_id, admitted.start_id, self.now_ms())
            self._check_links_count(admitted.connector)
        except Refused as refused:
            address = websocket.client.host if websocket.client else ""
            self.block(Door.LINK, refused.code, address, self._admission.claimed_name(websocket.headers))
            raise
        return admitted

    def _check_links_count(self, connector: Connector) -> None:
        of_site = sum(site_id == connector[0] for site_id, _ in self.links)
        if connector not in self.links and of_site >= LINKS_PER_SITE_MAX:
            raise Refused("too_many_of_site", most=LINKS_PER_SITE_MAX, what="links")

    def on_link_blocked(self, link: Link, reason: str) -> None:
        """A link was refused after its upgrade, cut off or slowed down."""
        self.block(Door.LINK, reason, link.address, str(link))

    def block(self, door: Door, reason: str, address: str, who: str = "") -> None:
        """Count an attempt that was turned away. Rings no bell: pages look by themselves, however many there are."""
        self.blocked.note(door, reason, address, who, at_ms=self.wall_ms())

    def on_link_opened(self, link: Link) -> None:
        """Make a link the live one of its connector; raises Refused('duplicate_instance'), ('too_many_of_site')."""
        self._check_links_count(link.connector)  # others may have said hello since it was admitted
        if (older := self.links.get(link.connector)) is not None:
            self._displacement.displace(link.connector, older.start_id, link.start_id, self.now_ms())
            self._unlink(older)
            older.close(CLOSE_DISPLACED, "a newer link of this connector took over")
        site = self.sites.get(link.connector[0])
        if self.draining or site is None or site.revoked_ms is not None:  # changed since it was admitted
            link.close(CLOSE_RESTART, "try again")
        self.links[link.connector] = link
        self.last_seen_ms[link.connector[0]] = self.wall_ms()
        _log.info("Linked: %s from %s", link, link.address, extra=link.ids)
        self.on_change()

    def on_link_closed(self, link: Link) -> None:
        """Forget a link that ended, unless a newer one took its place."""
        if self.links.get(link.connector) is link:
            self._unlink(link)
            del self.links[link.connector]
            _log.info("Unlinked: %s", link, extra=link.ids)
        self.on_change()

    def _unlink(self, link: Link) -> None:
        self.last_seen_ms[link.connector[0]] = self.wall_ms()
        self.pairs.detach(link)
        self._tell(self.registry.on_unlinked(link.connector))

    # --- frames ------------------------------------------------------------------------------------------------------

    def relay(self, link: Link, frame: AnyFrame) -> bool:
        """Pass on what is of a pair's traffic, which waits for nothing; say whether it is."""
        if not isinstance(frame, _RELAYED):
            return False
        if self.links.get(link.connector) is link:
            self.pairs.on_frame(link, frame)
        return True

    async def on_frame(self, link: Link, frame: AnyFrame) -> None:
        """Act on a frame; raises ProtocolError. Only those about pairs wait, for the store; others are immediate."""
        if self.links.get(link.connector) is not link:
            return
        match frame:
            case Sealed() | Statement() | AskStatement() | AskHeld() | Credit():
                self.pairs.on_frame(link, frame)
            case OpenWindow() | CloseWindow() | Claim() | ClaimStep() | ClaimRefused():
                tells = self.registry.on_frame(link.connector, link.site_name, frame, self.now_ms())
                self._note_refused_claims(tells)
                self._tell(tells)
                self.on_change()
            case PresentPair():
                await self.pairs.on_present(link, frame.certificate)
                self._arm()
                self.on_change()
            case PartPair():
                await self.pairs.on_part(link, frame.certificate, frame.parting, self.links)
                self.on_change()
            case DissolvePair():
                await self.pairs.on_dissolve(link, frame.dissolution, self.links)
                self.on_change()
            case Notice():
                code = frame.code if frame.code in REFUSALS else "a code that this hub does not know"
                _log.info("Notice from %s: %s", link, code, extra=link.ids)
            case (
                Hello()
                | HelloBack()
                | WindowOpened()
                | Knock()
                | PairKnown()
                | PairDissolved()
                | PairParted()
                | PeerPresence()
                | Held()
            ):
                raise ProtocolError(f"{type(frame).__name__} is not for a connector to say")
            case _:
                assert_never(frame)

    def _note_refused_claims(self, tells: tuple[Tell, ...]) -> None:
        """Count claims that were refused, by the hub or by the source, for the target that hears of it."""
        for tell in tells:
            if isinstance(tell.frame, ClaimRefused) and (link := self.links.get(tell.to)) is not None:
                self.block(Door.PAIRING, tell.frame.code, link.address, str(link))

    def _tell(self, tells: tuple[Tell, ...]) -> None:
        for tell in tells:
            if (link := self.links.get(tell.to)) is not None:
                link.send(tell.frame)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due_ms := self.registry.next_deadline()) is not None:
            wait_s = max(0, due_ms - self.now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._tell(self.registry.on_deadline(self.now_ms()))
        self.on_change()

    # --- what moves --------------------------------------------------------------------------------------------------

    def relayed(self, pair_id: bytes) -> Relayed:
        """Return what was relayed for a pair since one of its sides was first linked."""
        runner = self.pairs.runners.get(pair_id)
        if runner is None:
            return Relayed()
        streams = runner.relay.streams.values()
        return Relayed(sum(each.relayed_bytes for each in streams), sum(each.relayed_segments for each in streams))

    def rate(self, pair_id: bytes) -> Rate:
        """Return how fast a pair moved within the last minute."""
        return self._rates.rate(pair_id, self.relayed(pair_id), self.now_ms())

    def sample_rates(self) -> None:
        """Look at all counters; housekeeping calls it every few seconds."""
        self._rates.sample({pair_id: self.relayed(pair_id) for pair_id in self.pairs.runners}, self.now_ms())

    # --- what operators and housekeeping do --------------------------------------------------------------------------

    def on_site(self, site: Site) -> None:
        """A site was enrolled or came back."""
        self.sites[site.site_id] = self._as_shut_out(site)
        self.on_change()

    def _as_shut_out(self, site: Site) -> Site:
        """What a store says of a site, with what was decided here and no store knows yet: who is revoked stays so."""
        revoked_ms = next((one.revoked_ms for one in self._unwritten.values() if one.site_id == site.site_id), None)
        return site if revoked_ms is None else replace(site, revoked_ms=revoked_ms)

    async def revoke(self, site_id: str, *, who: str, where: str) -> bool:
        """Shut a site out and close its links at once, then write it down, with who asked and from which address.

        Return whether it is written: what the disk refuses is tried again until it is. Raises Refused('not_found').
        """
        if (site := self.sites.get(site_id)) is None:
            raise Refused("not_found", what="site")
        if site.revoked_ms is None:
            site = self.sites[site_id] = replace(site, revoked_ms=self.wall_ms())
        for connector, link in list(self.links.items()):
            if connector[0] == site_id:
                link.close(CLOSE_REVOKED, "the site was revoked")
        self._unwritten[site_id, who, where] = site
        self.on_change()
        await self.write_revocations()
        return (site_id, who, where) not in self._unwritten

    async def write_revocations(self) -> None:
        """Write down whom operators shut out; what the disk refuses, and sites still to come back, wait for a later call."""
        async with self._writing:
            for revoked, site in list(self._unwritten.items()):
                site_id, who, where = revoked
                if site_id not in self.sites:
                    continue
                store = self.store  # both go into the same one, or the second fails
                try:
                    await store.revoke_site(site_id, now_ms=site.revoked_ms or self.wall_ms())
                    what = f"'{site.site_name}' {site_id}"
                    await store.add_audit(at_ms=self.wall_ms(), who=who, where=where, action="site.revoke", what=what)
                except StorageFailed as error:
                    _log.warning("That '%s' is revoked could not be written yet: %s", site.site_name, error)
                    return
                except Refused:  # the store was lost since, and with it the site
                    continue
                self._unwritten.pop(revoked, None)

    async def replace_store(self, store: HubStore) -> None:
        """Go on with another (empty) store: forget all that was, and let everybody come back with certificates."""
        sites, pairs = await store.sites(), await store.pairs()
        lost, self.store = self.store, store
        self._take_up(sites, pairs)
        self.pairs.restart(store, self.registry)
        self.repairs.move(store)
        await self.close_links("the hub lost its store and starts afresh")
        await lost.close()
        self.on_change()

    async def close_links(self, reason: str) -> None:
        """Close all links with 1012 (come back soon) and wait until they have ended."""
        links = list(self.links.values())
        for link in links:
            link.close(CLOSE_RESTART, reason)
        for link in links:
            await link.ended.wait()

    async def drain(self) -> None:
        """Take no more, part from everybody, and store what is in memory only."""
        self.draining = True
        if self._timer is not None:
            self._timer.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_DEADLINE_S / 5):
                await self.close_links("the hub restarts")
        await self.pairs.flush()
        await self.repairs.save()


async def _contained(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  # whatever it is, the hub serves the others
        _log.exception("An error in the hub's own work")
