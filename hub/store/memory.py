"""A store that forgets at its end: for tests and simulations; the second implementation keeps the first honest.

`MemoryCopies` is plain and synchronous; the simulation of the core uses it as the hub's disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

from hub.store.audit import chain_digest
from hub.store.memory_repairs import MemoryRepairs
from hub.store.rows import AuditRow, Backlog, Dropped, Pair, Site, Token, User
from hub.store.rules import PARTINGS_PER_SITE_MAX, check_known_site, check_token
from shared.certificates import PairCertificate, Party
from shared.core.number_sets import NumberSets
from shared.core.relay_effects import Copy
from shared.database import StoreFigures
from shared.errors import Refused
from shared.limits import HUB_COPY_ROW_BYTES, PAIRS_PER_SITE_MAX
from shared.messages import HeldEpoch
from shared.sealing import Kind, Side
from web.sessions import SessionRow

_CopyKey = tuple[Side, Kind, int, int]


class MemoryCopies:
    """The copies of all pairs, without waiting. See `CopyStore` for what the verbs promise."""

    def __init__(self) -> None:
        self._copies: dict[bytes, dict[_CopyKey, Copy]] = {}
        self._place = 0

    def store(self, pair_id: bytes, copies: Sequence[Copy]) -> None:
        """Keep copies."""
        kept = self._copies.setdefault(pair_id, {})
        for copy in copies:
            key = (copy.side, copy.kind, copy.epoch, copy.number)
            if key in kept:
                kept[key] = replace(copy, place=kept[key].place)
            else:
                self._place += 1
                kept[key] = replace(copy, place=self._place)

    def trim(self, pair_id: bytes, side: Side, kind: Kind, epoch: int, flat: Sequence[int]) -> None:
        """Delete copies by number."""
        kept = self._copies.get(pair_id, {})
        ranges = list(zip(flat[::2], flat[1::2], strict=True))
        for key in [key for key in kept if key[:3] == (side, kind, epoch)]:
            if any(low <= key[3] <= high for low, high in ranges):
                del kept[key]

    def load(
        self, pair_id: bytes, side: Side, kind: Kind, *, after: int, body_bytes_max: int, copies_max: int
    ) -> list[Copy]:
        """Return the next copies by place."""
        found: list[Copy] = []
        body_bytes = 0
        for copy in self._copies.get(pair_id, {}).values():
            if copy.side is side and copy.kind is kind and copy.place > after:
                found.append(copy)
                body_bytes += len(copy.body)
                if body_bytes >= body_bytes_max or len(found) >= copies_max:
                    break
        return found

    def held(self, pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
        """Return the numbers kept."""
        sets = {side: NumberSets() for side in Side}
        for copy in self._copies.get(pair_id, {}).values():
            sets[copy.side].add((copy.kind, copy.epoch, copy.number))
        return {side: numbers.listed() for side, numbers in sets.items()}

    def drop(self, *, before_ms: int, stored_bytes_max: int, copies_max: int = 512) -> list[Dropped]:
        """Delete the oldest."""
        everything = sorted(
            ((copy.place, pair_id, key) for pair_id, kept in self._copies.items() for key, copy in kept.items()),
            key=lambda entry: entry[0],
        )
        total = sum(_stored_bytes(self._copies[pair_id][key]) for _, pair_id, key in everything)
        gone: dict[tuple[bytes, Side], NumberSets] = {}
        for _, pair_id, key in everything[:copies_max]:
            copy = self._copies[pair_id][key]
            if copy.arrived_ms >= before_ms and total <= stored_bytes_max:
                break
            del self._copies[pair_id][key]
            total -= _stored_bytes(copy)
            gone.setdefault((pair_id, copy.side), NumberSets()).add((copy.kind, copy.epoch, copy.number))
        return [Dropped(pair_id, side, tuple(numbers.listed())) for (pair_id, side), numbers in gone.items()]

    def forget(self, pair_id: bytes) -> None:
        """Delete all of a pair."""
        self._copies.pop(pair_id, None)

    def backlogs(self) -> Iterator[Backlog]:
        """Yield what waits."""
        for pair_id, kept in self._copies.items():
            for side in Side:
                copies = [copy for copy in kept.values() if copy.side is side]
                if copies:
                    stored_bytes = sum(map(_stored_bytes, copies))
                    yield Backlog(pair_id, side, len(copies), stored_bytes, min(copy.arrived_ms for copy in copies))


class MemoryStore(MemoryRepairs):
    """A whole hub's store in memory. See `HubStore` for what the methods promise."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = MemoryCopies()
        self._sites: dict[str, Site] = {}
        self._tokens: dict[str, Token] = {}
        self._pairs: dict[bytes, Pair] = {}
        self._ends: dict[tuple[str, str], tuple[bytes, bytes]] = {}  # by connector: pair ID, identity key of its site
        self._dissolutions: dict[tuple[bytes, str], tuple[bytes, int]] = {}
        # Packed, who told it, and which site did so first.
        self._partings: dict[PairCertificate, tuple[bytes, frozenset[Side], str]] = {}
        self._users: dict[str, User] = {}
        self._sessions: dict[bytes, SessionRow] = {}
        self._audit: list[AuditRow] = []

    # --- copies ------------------------------------------------------------------------------------------------------

    async def store_copies(self, pair_id: bytes, copies: Sequence[Copy]) -> None:
        if pair_id not in self._pairs:
            raise Refused("not_found", what="pair")
        self.copies.store(pair_id, copies)

    async def trim_copies(self, pair_id: bytes, side: Side, kind: Kind, epoch: int, flat: Sequence[int]) -> None:
        self.copies.trim(pair_id, side, kind, epoch, flat)

    async def load_copies(
        self, pair_id: bytes, side: Side, kind: Kind, *, after: int, body_bytes_max: int, copies_max: int
    ) -> list[Copy]:
        return self.copies.load(pair_id, side, kind, after=after, body_bytes_max=body_bytes_max, copies_max=copies_max)

    async def held(self, pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
        return self.copies.held(pair_id)

    async def drop_copies(self, *, before_ms: int, stored_bytes_max: int, copies_max: int = 512) -> list[Dropped]:
        return self.copies.drop(before_ms=before_ms, stored_bytes_max=stored_bytes_max, copies_max=copies_max)

    async def backlogs(self) -> list[Backlog]:
        return list(self.copies.backlogs())

    # --- sites, tokens, pairs ----------------------------------------------------------------------------------------

    async def enrol_site(self, site: Site, *, token_digest: bytes | None, now_ms: int) -> Site:
        if (known := self._known(site)) is not None:
            return known
        if token_digest is not None:
            token = next((token for token in self._tokens.values() if token.digest == token_digest), None)
            token = check_token(token, site.site_name, now_ms=now_ms)
            self._tokens[token.token_id] = replace(token, used_ms=now_ms)
        self._sites[site.site_id] = site
        return site

    async def restore_site(self, site: Site) -> Site:
        known = self._known(site)
        if known is None:
            self._sites[site.site_id] = known = site
        return known

    def _known(self, site: Site) -> Site | None:
        folded = site.site_name.casefold()
        same_name = next((other for other in self._sites.values() if other.site_name.casefold() == folded), None)
        return check_known_site(site, same_id=self._sites.get(site.site_id), same_name=same_name)

    async def site(self, site_id: str) -> Site | None:
        return self._sites.get(site_id)

    async def sites(self) -> list[Site]:
        return sorted(self._sites.values(), key=lambda site: site.site_name)

    async def revoke_site(self, site_id: str, *, now_ms: int) -> Site:
        if site_id not in self._sites:
            raise Refused("not_found", what="site")
        site = self._sites[site_id]
        if site.revoked_ms is None:
            site = self._sites[site_id] = replace(site, revoked_ms=now_ms)
        return site

    async def add_token(self, token: Token) -> None:
        self._tokens[token.token_id] = token

    async def tokens(self, *, now_ms: int) -> list[Token]:
        usable = [token for token in self._tokens.values() if token.expires_ms > now_ms]
        return sorted(usable, key=lambda token: (-token.created_ms, token.token_id))

    async def revoke_token(self, token_id: str) -> None:
        token = self._tokens.get(token_id)
        if token is None or token.used_ms is not None:
            raise Refused("not_found", what="unused token")
        del self._tokens[token_id]

    async def register_pair(
        self, certificate: PairCertificate, packed: bytes, *, ends: Collection[Side] = tuple(Side), now_ms: int
    ) -> bool:
        same_id = self._pairs.get(certificate.pair_id)
        if same_id is not None and same_id.certificate != certificate:
            raise Refused("pair_conflict")
        taken = [(_end(certificate.party(side)), certificate.party(side).identity_key) for side in ends]
        for end, key in taken:
            pair_id, key_before = self._ends.get(end, (certificate.pair_id, key))
            if pair_id != certificate.pair_id and key_before == key:
                raise Refused("pair_conflict")
            of_site = sum(site_id == end[0] for site_id, _ in self._ends)
            if same_id is None and of_site >= PAIRS_PER_SITE_MAX:
                raise Refused("too_many_of_site", most=PAIRS_PER_SITE_MAX, what="pairs")
        self._ends.update({end: (certificate.pair_id, key) for end, key in taken})
        if same_id is None:
            self._pairs[certificate.pair_id] = Pair(certificate, packed, now_ms)
        return same_id is None

    async def pairs(self) -> list[Pair]:
        return list(self._pairs.values())

    async def dissolve_pair(self, pair_id: bytes, source_site_id: str, packed: bytes, *, now_ms: int) -> Pair | None:
        pair = self._pairs.get(pair_id)
        if pair is not None and pair.certificate.source.site_id != source_site_id:
            raise Refused("certificate_refused", why="only the pair's source may dissolve it")
        self._dissolutions[pair_id, source_site_id] = packed, now_ms
        self._forget_pair(pair_id)
        return pair

    def _forget_pair(self, pair_id: bytes) -> None:
        self._pairs.pop(pair_id, None)
        self._ends = {end: held for end, held in self._ends.items() if held[0] != pair_id}
        self.copies.forget(pair_id)

    async def dissolution(self, pair_id: bytes, source_site_id: str) -> bytes | None:
        packed, _ = self._dissolutions.get((pair_id, source_site_id), (None, 0))
        return packed

    async def part_pair(self, certificate: PairCertificate, packed: bytes, told_by: Side, *, now_ms: int) -> bool:
        del now_ms  # the order in which they came is enough
        teller = certificate.party(told_by).site_id
        before, sides, first = self._partings.get(certificate, (packed, frozenset[Side](), teller))
        self._partings[certificate] = before, sides | {told_by}, first
        of_site = [one for one, kept in self._partings.items() if kept[2] == teller]
        if len(of_site) > PARTINGS_PER_SITE_MAX:
            del self._partings[of_site[0]]  # in the order in which they came, whatever the clock said
        if (pair := self._pairs.get(certificate.pair_id)) is not None and pair.certificate == certificate:
            self._forget_pair(certificate.pair_id)
        return len(sides | {told_by}) == len(Side)

    async def parting(self, certificate: PairCertificate) -> tuple[bytes, bool] | None:
        found = self._partings.get(certificate)
        return None if found is None else (found[0], len(found[1]) == len(Side))

    # --- operators ---------------------------------------------------------------------------------------------------

    async def add_user(self, user: User, *, only_first: bool = False) -> None:
        if user.user_name in self._users or (only_first and self._users):
            raise Refused("exists", what="user")
        self._users[user.user_name] = user

    async def user(self, user_name: str) -> User | None:
        return self._users.get(user_name)

    async def users_count(self) -> int:
        return len(self._users)

    async def insert_session(self, row: SessionRow) -> None:
        self._sessions[row.id_hash] = row

    async def find_session(self, id_hash: bytes) -> SessionRow | None:
        return self._sessions.get(id_hash)

    async def touch_session(self, id_hash: bytes, used_ms: int) -> None:
        if id_hash in self._sessions:
            self._sessions[id_hash] = replace(self._sessions[id_hash], used_ms=used_ms)

    async def delete_session(self, id_hash: bytes) -> None:
        self._sessions.pop(id_hash, None)

    async def delete_sessions_of(self, user_name: str) -> None:
        self._sessions = {key: row for key, row in self._sessions.items() if row.user_name != user_name}

    async def delete_stale_sessions(self, created_before_ms: int, used_before_ms: int) -> None:
        self._sessions = {
            key: row
            for key, row in self._sessions.items()
            if row.created_ms >= created_before_ms and row.used_ms >= used_before_ms
        }

    async def add_audit(self, *, at_ms: int, who: str, where: str, action: str, what: str) -> None:
        before = self._audit[-1].chain if self._audit else sha256(b"").digest()
        chain = chain_digest(before, at_ms, who, where, action, what)
        self._audit.append(AuditRow(len(self._audit) + 1, at_ms, who, where, action, what, chain))

    async def audit(self, *, rows_max: int, before: int | None = None) -> list[AuditRow]:
        older = [row for row in self._audit if before is None or row.number < before]
        return older[: -rows_max - 1 : -1]

    def lost(self) -> bool:
        return False

    async def check(self) -> None:
        return None

    async def beat(self) -> None:
        return None

    def figures(self) -> StoreFigures:
        return StoreFigures()

    async def close(self) -> None:
        return None


def _stored_bytes(copy: Copy) -> int:
    return len(copy.body) + HUB_COPY_ROW_BYTES


def _end(party: Party) -> tuple[str, str]:
    return party.site_id, party.connector_id
