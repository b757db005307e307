"""Where pairs are presented, dissolved and parted, and which link carries which side of which pair."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from hub.links import Link
from hub.pair_runner import PairRunner, Spawn
from hub.store.interface import HubStore
from hub.store.rows import Site
from shared.certificates import PairCertificate, Party, read_dissolution, read_pair, read_parting
from shared.core.registry import Connector, Registry
from shared.core.relay import PairRelay, RelayedFrame
from shared.errors import Refused, StorageFailed
from shared.limits import CLAIM_BODY_BYTES_MAX
from shared.messages import HeldEpoch, Notice, PairDissolved, PairKnown, PairParted
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
        self._carried: dict[Link, tuple[PairRunner, Side]] = {}
        # Presenting and dissolving one after another, so that no pair has two runners and none rises again.
        self._desk = asyncio.Lock()

    def restart(self, store: HubStore, registry: Registry) -> None:
        """Go on with another store: pairs have to be presented again."""
        self._store = store
        self._registry = registry
        for runner in self.runners.values():
            runner.close()
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
        """Store what pairs have in memory only."""
        await asyncio.gather(*(runner.flush() for runner in self.runners.values()))

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
        if (dissolution := await self._dissolution(certificate)) is not None:
            link.send(PairDissolved(dissolution))
            return
        if (parted := await self._parting(certificate)) is not None:
            link.send(parted)
            return
        self._registry.check_free(certificate)
        runner = self.runners.get(certificate.pair_id)
        if runner is not None and runner.certificate != certificate:  # also where no disk can say so
            raise Refused("pair_conflict")
        try:
            await self._store.register_pair(certificate, packed, now_ms=self._now())
        except StorageFailed as error:  # it is presented again on the next link; relaying needs no disk
            _log.warning("A pair could not be stored: %s", error, extra=link.ids | _ids(certificate))
        self._registry.on_paired(certificate)
        if runner is None:
            runner = self.runners[certificate.pair_id] = await self._run(certificate)
        _log.info("Carries a pair: %s as its %s", link, side.word, extra=link.ids | _ids(certificate))
        if link.ended.is_set() or link.leaving:
            return
        self._carried[link] = (runner, side)
        link.send(PairKnown(certificate.pair_id, runner.relay.linked(side.other)))
        runner.attach(side, link)

    def _check_parties(self, certificate: PairCertificate) -> None:
        """Raise Refused unless keys and names are those the hub knows these sites by."""
        for party in (certificate.source, certificate.target):
            site = self._sites.get(party.site_id)
            if site is not None and (site.identity_key, site.site_name) != (party.identity_key, party.site_name):
                raise Refused("certificate_refused", why=f"'{party.site_name}' is enrolled with another key or name")

    async def _dissolution(self, certificate: PairCertificate) -> bytes | None:
        """Return the source's signed word that this very pair is off, if there is one."""
        try:
            packed = await self._store.dissolution(certificate.pair_id, certificate.source.site_id)
        except StorageFailed:
            return None
        if packed is None:
            return None
        try:
            read_dissolution(packed, certificate.source.identity_key)
        except Refused:
            return None
        return packed

    async def _run(self, certificate: PairCertificate) -> PairRunner:
        held: dict[Side, list[HeldEpoch]] = {}
        try:
            held = await self._store.held(certificate.pair_id)
        except StorageFailed as error:
            _log.warning("What is held for a pair cannot be read: %s", error, extra=_ids(certificate))
        relay = PairRelay(certificate.pair_id, held)
        return PairRunner(certificate, relay, self._store, now=self._now, spawn=self._spawn)

    # --- dissolving --------------------------------------------------------------------------------------------------

    async def on_dissolve(self, link: Link, packed: bytes, links: Mapping[Connector, Link]) -> None:
        """The source gives a pair up: forget it and its copies, and tell the target. Done whole, as presenting is."""
        await asyncio.shield(self._spawn(self._dissolve_at_desk(link, packed, links)))

    async def _dissolve_at_desk(self, link: Link, packed: bytes, links: Mapping[Connector, Link]) -> None:
        async with self._desk:
            try:
                await self._dissolve(link, packed, links)
            except (Refused, StorageFailed) as error:
                _log.warning("Dissolution refused from %s: %s", link, error, extra=link.ids)
                code = error.code if isinstance(error, Refused) else "storage_failed"
                link.send(Notice(code, {"why": str(error)}))

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
                code = error.code if isinstance(error, Refused) else "storage_failed"
                link.send(Notice(code, {"why": _why(error)}))

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

    async def _parting(self, certificate: PairCertificate) -> PairParted | None:
        """Return that both sides of this very pair parted, if they did."""
        try:
            found = await self._store.parting(certificate)
        except StorageFailed:
            return None
        return None if found is None else PairParted(*found)

    def _forget(self, certificate: PairCertificate) -> None:
        self._registry.on_dissolved(certificate)
        runner = self.runners.get(certificate.pair_id)
        if runner is not None and runner.certificate == certificate:
            del self.runners[certificate.pair_id]
            runner.close()
            self._carried = {link: carried for link, carried in self._carried.items() if carried[0] is not runner}


def _why(error: Refused | StorageFailed) -> str:
    return str(error.facts.get("why", error)) if isinstance(error, Refused) else str(error)


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
