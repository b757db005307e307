"""Where pairs are presented, dissolved and parted, and which link carries which side of which pair."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from hub.admission import is_connector_id
from hub.links import Link
from hub.pair_runner import PairRunner, Spawn
from hub.store.interface import HubStore
from hub.store.rows import Dropped, Site
from shared.certificates import PairCertificate, Party, read_dissolution, read_pair, read_parting
from shared.core.registry import Connector, Registry
from shared.core.relay import PairRelay, RelayedFrame
from shared.core.relay_memory import RelayMemory
from shared.errors import Refused, StorageFailed
from shared.limits import CLAIM_BODY_BYTES_MAX, HUB_STORE_RETRY_MS, NAME_CHARS_MAX, SECOND_MS, SITE_ID_CHARS_MAX
from shared.messages import AnyFrame, HeldEpoch, Notice, PairDissolved, PairKnown, PairParted
from shared.sealing import Side

_log = logging.getLogger(__name__)


class PairDesk:
    """Checks certificates, registers pairs, and hands links to the pairs they carry."""

    def __init__(
        self, store: HubStore, registry: Registry, sites: Mapping[str, Site], *, now: Callable[[], int], spawn: Spawn
    ) -> None:
        """`sites` are the enrolled ones, kept current by the hub."""
        self._store = store
        self._registry = registry
        self._sites = sites
        self._now = now
        self._spawn = spawn
        self.runners: dict[bytes, PairRunner] = {}
        self._memory = RelayMemory()
        self._carried: dict[Link, tuple[PairRunner, Side]] = {}
        # Pairs that the disk refused, until they are tried again.
        self._unregistered: dict[bytes, asyncio.TimerHandle] = {}
        # Presenting, dissolving and letting copies go one after another: no pair has two runners, none rises again, and
        # none is begun with copies that are gone by then.
        self._desk = asyncio.Lock()

    def restart(self, store: HubStore, registry: Registry) -> None:
        """Go on with another store: pairs have to be presented again."""
        self._store = store
        self._registry = registry
        for runner in self.runners.values():
            runner.close()
        self._cancel_timers()
        self.runners.clear()
        self._carried.clear()

    def on_frame(self, link: Link, frame: RelayedFrame) -> None:
        """Pass a frame to the pair its link carries; one of a link without a pair goes nowhere."""
        if (carried := self._carried.get(link)) is not None:
            runner, side = carried
            runner.on_frame(side, frame)

    def detach(self, link: Link) -> None:
        """A link ended."""
        if (carried := self._carried.pop(link, None)) is not None:
            runner, side = carried
            runner.detach(side, link)

    async def flush(self) -> None:
        """Store what pairs have in memory only; the hub is about to end."""
        self._cancel_timers()
        await asyncio.gather(*(runner.flush() for runner in self.runners.values()))

    def _cancel_timers(self) -> None:
        for timer in self._unregistered.values():
            timer.cancel()
        self._unregistered.clear()

    async def let_go(self, *, before_ms: int, stored_bytes_max: int) -> list[Dropped]:
        """Let some of the oldest copies go and tell their pairs; returns them, none once there is nothing left to drop."""
        async with self._desk:
            dropped = await self._store.drop_copies(before_ms=before_ms, stored_bytes_max=stored_bytes_max)
            for one in dropped:
                if (runner := self.runners.get(one.pair_id)) is not None:
                    runner.on_dropped(one.side, one.epochs)
        return dropped

    # --- presenting --------------------------------------------------------------------------------------------------

    async def on_present(self, link: Link, packed: bytes) -> None:
        """A link shows a pair certificate: register the pair and let the link carry it, or say why not.

        Done whole even where the link ends meanwhile: what is stored and what is in memory must not come apart.
        """
        await asyncio.shield(self._spawn(self._present_at_desk(link, packed)))

    async def _present_at_desk(self, link: Link, packed: bytes) -> None:
        async with self._desk:
            try:
                await self._present(link, packed)
            except Refused as refused:
                _log.warning("Pair refused from %s: %s", link, refused, extra=link.ids)
                link.send(Notice(refused.code, {name: str(value) for name, value in refused.facts.items()}))

    async def _present(self, link: Link, packed: bytes) -> None:
        if len(packed) > CLAIM_BODY_BYTES_MAX:
            raise Refused("certificate_refused", why="it is too long")
        certificate = read_pair(packed)
        side = _side_of(link.connector, certificate)
        self._check_parties(certificate)
        is_stored = True
        try:
            over = await self._over(certificate)
        except StorageFailed:
            over, is_stored = None, False
        if over is not None:
            link.send(over)
            return
        ends = self._known_ends(certificate)
        self._registry.check_free(certificate, ends)
        runner = self.runners.get(certificate.pair_id)
        if runner is not None and runner.certificate != certificate:  # also where no disk can say so
            raise Refused("pair_conflict")
        try:
            if is_stored:
                await self._store.register_pair(certificate, packed, ends=ends, now_ms=self._now())
        except StorageFailed as error:  # relaying needs no disk
            _log.warning("A pair could not be stored: %s", error, extra=link.ids | _ids(certificate))
            is_stored = False
        self._registry.on_paired(certificate, ends)
        if runner is None:
            runner = self.runners[certificate.pair_id] = await self._run(certificate)
        if not is_stored:
            self._register_later(runner, packed)
        _log.info("Carries a pair: %s as its %s", link, side.word, extra=link.ids | _ids(certificate))
        if link.ended.is_set() or link.leaving:
            return
        self._carried[link] = (runner, side)
        link.send(PairKnown(certificate.pair_id, runner.relay.linked(side.other)))
        runner.attach(side, link)

    def _register_later(self, runner: PairRunner, packed: bytes) -> None:
        """The disk refused a pair that is carried: try again, for no copy of it can be stored before."""

        def on_time() -> None:
            del self._unregistered[pair_id]
            self._spawn(self._register_again(runner, packed))

        pair_id = runner.certificate.pair_id
        if pair_id not in self._unregistered:
            wait_s = HUB_STORE_RETRY_MS / SECOND_MS
            self._unregistered[pair_id] = asyncio.get_running_loop().call_later(wait_s, on_time)

    async def _register_again(self, runner: PairRunner, packed: bytes) -> None:
        certificate = runner.certificate
        async with self._desk:
            if self.runners.get(certificate.pair_id) is not runner:
                return
            try:
                word: AnyFrame | None = await self._over(certificate)
                if word is None:
                    ends = self._known_ends(certificate)
                    await self._store.register_pair(certificate, packed, ends=ends, now_ms=self._now())
            except StorageFailed:
                self._register_later(runner, packed)
                return
            except Refused as refused:
                word = Notice(refused.code, {})
            if word is not None:  # what the disk could not say when the pair was presented
                links = [link for link, carried in self._carried.items() if carried[0] is runner]
                self._forget(certificate)
                for link in links:
                    link.send(word)

    def _check_parties(self, certificate: PairCertificate) -> None:
        """Raise Refused unless keys and names are those the hub knows these sites by, and can be shown."""
        for party in (certificate.source, certificate.target):
            if not is_connector_id(party.connector_id) or not party.site_name.isprintable():
                raise Refused("certificate_refused", why="it names no site and connector as they are written")
            if len(party.site_id) > SITE_ID_CHARS_MAX or len(party.site_name) > NAME_CHARS_MAX:
                raise Refused("certificate_refused", why="the ID or the name of a site is too long")
            site = self._sites.get(party.site_id)
            if site is not None and (site.identity_key, site.site_name) != (party.identity_key, party.site_name):
                raise Refused("certificate_refused", why=f"'{party.site_name}' is enrolled with another key or name")

    def _known_ends(self, certificate: PairCertificate) -> tuple[Side, ...]:
        """Return the ends whose sites are enrolled as the certificate says; anybody can sign for a site that is not."""
        return known_ends(certificate, self._sites)

    async def _over(self, certificate: PairCertificate) -> PairDissolved | PairParted | None:
        """Return the signed word that this very pair is off or parted, if there is one; raises StorageFailed."""
        if (packed := await self._store.dissolution(certificate.pair_id, certificate.source.site_id)) is not None:
            with suppress(Refused):
                read_dissolution(packed, certificate.source.identity_key)
                return PairDissolved(packed)
        parting = await self._store.parting(certificate)
        return None if parting is None else PairParted(*parting)

    async def _run(self, certificate: PairCertificate) -> PairRunner:
        held: dict[Side, list[HeldEpoch]] = {}
        try:
            held = await self._store.held(certificate.pair_id)
        except StorageFailed as error:
            _log.warning("What is held for a pair cannot be read: %s", error, extra=_ids(certificate))
        relay = PairRelay(certificate.pair_id, held, self._memory)
        return PairRunner(certificate, relay, self._store, now=self._now, spawn=self._spawn)

    # --- dissolving --------------------------------------------------------------------------------------------------

    async def on_dissolve(self, link: Link, packed: bytes, links: Mapping[Connector, Link]) -> None:
        """The source gives a pair up: forget it and its copies, tell the target, answer. Done whole, as presenting is."""
        await asyncio.shield(self._spawn(self._dissolve_at_desk(link, packed, links)))

    async def _dissolve_at_desk(self, link: Link, packed: bytes, links: Mapping[Connector, Link]) -> None:
        async with self._desk:
            try:
                await self._dissolve(link, packed, links)
            except (Refused, StorageFailed) as error:
                _log.warning("Dissolution refused from %s: %s", link, error, extra=link.ids)
                link.send(_notice(error))

    async def _dissolve(self, link: Link, packed: bytes, links: Mapping[Connector, Link]) -> None:
        site = self._sites.get(link.connector[0])
        if site is None or len(packed) > CLAIM_BODY_BYTES_MAX:
            raise Refused("certificate_refused", why="it is too long, or the site is not known")
        dissolution = read_dissolution(packed, site.identity_key)
        runner = self.runners.get(dissolution.pair_id)
        certificate = runner.certificate if runner is not None else None
        if certificate is not None and certificate.source.site_id != site.site_id:
            raise Refused("certificate_refused", why="only the pair's source may dissolve it")
        pair = await self._store.dissolve_pair(dissolution.pair_id, site.site_id, packed, now_ms=self._now())
        certificate = pair.certificate if pair is not None else certificate
        if certificate is not None:
            self._forget(certificate)
            if (target := links.get(_connector(certificate.target))) is not None:
                target.send(PairDissolved(packed))
        link.send(PairDissolved(packed))  # stored: the source need not tell it again

    # --- parting on purpose (G16) --------------------------------------------------------------------------------------

    async def on_part(self, link: Link, certificate: bytes, parting: bytes, links: Mapping[Connector, Link]) -> None:
        """A side shows that both agreed to part: forget the pair and its copies, and tell both. Done whole."""
        await asyncio.shield(self._spawn(self._part_at_desk(link, certificate, parting, links)))

    async def _part_at_desk(
        self, link: Link, certificate: bytes, parting: bytes, links: Mapping[Connector, Link]
    ) -> None:
        async with self._desk:
            try:
                await self._part(link, certificate, parting, links)
            except (Refused, StorageFailed) as error:
                _log.warning("Parting refused from %s: %s", link, error, extra=link.ids)
                link.send(_notice(error))

    async def _part(self, link: Link, packed: bytes, parting: bytes, links: Mapping[Connector, Link]) -> None:
        if len(packed) + len(parting) > CLAIM_BODY_BYTES_MAX:
            raise Refused("certificate_refused", why="it is too long")
        certificate = read_pair(packed)
        side = _side_of(link.connector, certificate)
        self._check_parties(certificate)
        read_parting(parting, certificate)
        known_by_both = await self._store.part_pair(certificate, parting, side, now_ms=self._now())
        self._forget(certificate)
        _log.info("Parted: %s, its %s", link, side.word, extra=link.ids | _ids(certificate))
        for party in (certificate.source, certificate.target):
            if (told := links.get(_connector(party))) is not None:
                told.send(PairParted(parting, known_by_both))

    def _forget(self, certificate: PairCertificate) -> None:
        self._registry.on_dissolved(certificate)
        runner = self.runners.get(certificate.pair_id)
        if runner is not None and runner.certificate == certificate:
            del self.runners[certificate.pair_id]
            runner.close()
            if (timer := self._unregistered.pop(certificate.pair_id, None)) is not None:
                timer.cancel()
            self._carried = {link: carried for link, carried in self._carried.items() if carried[0] is not runner}


def _notice(error: Refused | StorageFailed) -> Notice:
    """What a connector is told of its refusal; it stands within a sentence. Where this hub has its disk is not for sites."""
    if isinstance(error, Refused):
        return Notice(error.code, {"why": str(error.facts.get("why", error)).rstrip(".")})
    return Notice("storage_failed", {"why": "it is the hub's own disk, whose operator has to see to it"})


def known_ends(certificate: PairCertificate, sites: Mapping[str, Site]) -> tuple[Side, ...]:
    """Return those ends of a pair whose sites are enrolled with the certificate's names and keys."""
    return tuple(side for side in Side if _is_known(certificate.party(side), sites))


def _is_known(party: Party, sites: Mapping[str, Site]) -> bool:
    site = sites.get(party.site_id)
    return site is not None and (site.identity_key, site.site_name) == (party.identity_key, party.site_name)


def _connector(party: Party) -> Connector:
    return party.site_id, party.connector_id


def _side_of(connector: Connector, certificate: PairCertificate) -> Side:
    """Return which side of the pair a connector is; raises Refused where it is neither."""
    for party, side in ((certificate.source, Side.SOURCE), (certificate.target, Side.TARGET)):
        if _connector(party) == connector:
            return side
    raise Refused("certificate_refused", why="this link is of neither of its two connectors")


def _ids(certificate: PairCertificate) -> dict[str, str]:
    """Which pair, as a field of a log line."""
    return {"pair": certificate.pair_id.hex()}
