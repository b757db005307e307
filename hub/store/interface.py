"""What the hub asks of its store. Every method is one transaction: all of it is durable on return, or none of it.

All raise `StorageFailed` where the disk refuses. tests/hub/test_store.py is the conformance suite; an implementation
that passes it may serve a hub.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hub.store.rows import AuditRow, Backlog, Dropped, Pair, Site, Token, User
from shared.certificates import PairCertificate
from shared.core.relay_effects import Copy
from shared.database import StoreFigures
from shared.messages import HeldEpoch
from shared.notices.store import RepairStore
from shared.sealing import Kind, Side
from web.sessions import SessionStore


class CopyStore(Protocol):
    """Copies of what could not be delivered yet."""

    async def store_copies(self, pair_id: bytes, copies: Sequence[Copy]) -> None:
        """Keep copies; one of the same (side, kind, epoch, number) takes the place of the stored one.

        Raises Refused('not_found') where the pair is not registered (any more).
        """

    async def trim_copies(self, pair_id: bytes, side: Side, kind: Kind, epoch: int, flat: Sequence[int]) -> None:
        """Delete the copies of these numbers (`[low, high, ...]`); those that are not there do not matter."""

    async def load_copies(
        self, pair_id: bytes, side: Side, kind: Kind, *, after: int, body_bytes_max: int, copies_max: int
    ) -> list[Copy]:
        """Return copies with a place greater than `after`, by place: at least one where there is one.

        Places grow with each newly stored copy and are never used again while the store lives.
        """

    async def held(self, pair_id: bytes) -> dict[Side, list[HeldEpoch]]:
        """Return which numbers are kept, per origin side."""

    async def drop_copies(self, *, before_ms: int, stored_bytes_max: int, copies_max: int = 512) -> list[Dropped]:
        """Delete the oldest copies: those that arrived before `before_ms`, and more while all exceed `stored_bytes_max`.

        At most `copies_max` in one call; call again until the list is empty.
        """

    async def backlogs(self) -> list[Backlog]:
        """Return what waits, per pair and origin side; sides without copies are left out."""


class RegistryStore(Protocol):
    """Sites, tokens and pairs."""

    async def enrol_site(self, site: Site, *, token_digest: bytes | None, now_ms: int) -> Site:
        """Take a site in and use its token up, or return the stored row where it is the very same site again.

        A site that is known by the same ID, name and keys needs no token: it proved its key. `token_digest` None stands
        for open enrolment. Raises Refused: token_unknown, token_used, token_expired, token_other_site,
        site_name_taken (names differ by more than case), site_revoked, certificate_refused (ID known with other keys).
        """

    async def restore_site(self, site: Site) -> Site:
        """Take a site in by its hub-signed certificate, after this store was lost; raises as `enrol_site` does."""

    async def site(self, site_id: str) -> Site | None:
        """Return one site."""

    async def sites(self) -> list[Site]:
        """Return all sites by name."""

    async def revoke_site(self, site_id: str, *, now_ms: int) -> Site:
        """Mark a site as revoked (again: no change); raises Refused('not_found')."""

    async def add_token(self, token: Token) -> None:
        """Keep a token."""

    async def tokens(self, *, now_ms: int) -> list[Token]:
        """Return tokens that have not expired, used ones included, newest first."""

    async def revoke_token(self, token_id: str) -> None:
        """Delete an unused token; raises Refused('not_found')."""

    async def register_pair(
        self, certificate: PairCertificate, packed: bytes, *, ends: Collection[Side] = tuple(Side), now_ms: int
    ) -> bool:
        """Keep a pair; return whether it is new. The same pair again takes those `ends` that it has not, and no more.

        `ends` are those whose sites are known with the certificate's keys: only these take their connectors. Raises
        Refused('pair_conflict') where one of them is in another pair; one that somebody signed for with another key of
        that site gives way. Of two that race, one wins. Raises Refused('too_many_of_site') beyond PAIRS_PER_SITE_MAX.
        """

    async def pairs(self) -> list[Pair]:
        """Return all pairs, oldest first."""

    async def dissolve_pair(self, pair_id: bytes, source_site_id: str, packed: bytes, *, now_ms: int) -> Pair | None:
        """Keep the source's signed dissolution, remove its pair and copies; return the pair if it was registered.

        A registered pair whose source is another site stays as it is: Refused('certificate_refused').
        """

    async def dissolution(self, pair_id: bytes, source_site_id: str) -> bytes | None:
        """Return the packed dissolution that this site sent for this pair."""

    async def part_pair(self, certificate: PairCertificate, packed: bytes, told_by: Side, *, now_ms: int) -> bool:
        """Keep a parting, which the caller has checked, and who told it; remove that very pair and its copies.

        Return whether both sides have told it by now. Again: only who told it is added. Of one site that tells first,
        the newest PARTINGS_PER_SITE_MAX are kept.
        """

    async def parting(self, certificate: PairCertificate) -> tuple[bytes, bool] | None:
        """Return (packed parting, whether both sides have told it) of this pair."""


class OperatorStore(SessionStore, Protocol):
    """People who operate the hub, their log-ins, and what they did."""

    async def add_user(self, user: User, *, only_first: bool = False) -> None:
        """Add a user; raises Refused('exists') for a name that is there, or (`only_first`) where there is any user."""

    async def user(self, user_name: str) -> User | None:
        """Return one user."""

    async def users_count(self) -> int:
        """Count the users."""

    async def add_audit(self, *, at_ms: int, who: str, where: str, action: str, what: str) -> None:
        """Append to the audit."""

    async def audit(self, *, rows_max: int, before: int | None = None) -> list[AuditRow]:
        """Return entries, newest first: the newest of all, or of those with a number below `before`."""


class HubStore(CopyStore, RegistryStore, OperatorStore, RepairStore, Protocol):
    """All that one hub keeps."""

    def lost(self) -> bool:
        """Tell at once whether what was opened is not there any more (deleted, replaced): the hub then opens anew."""

    async def check(self) -> None:
        """Raise StorageFailed where the store cannot be read and written, or is not the one that was opened."""

    async def beat(self) -> None:
        """Come back once what writes has moved; raises nothing. Where it never comes back, the hub is started afresh."""

    def figures(self) -> StoreFigures:
        """Return how the store fares, at once."""

    async def close(self) -> None:
        """Finish what was begun and close."""
