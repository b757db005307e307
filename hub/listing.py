"""The operator's lists, searched and cut into pages by key: only the rows of a page are made, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Generic, Self, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from hub.blocked import BlockedReport
from hub.hub import Hub
from hub.report import (
    ConnectorReport,
    PairReport,
    SiteReport,
    TokenReport,
    Totals,
    Waiting,
    WindowReport,
    connector_report,
    connectors,
    linked_sides,
    pair_report,
    site_report,
    tokens,
    totals,
    versions_of_sites,
    waiting_copies,
    windows,
)
from hub.store.rows import Pair, Site
from shared.limits import OPERATOR_ROWS_MAX, OPERATOR_SEARCH_CHARS_MAX

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C", covariant=True)
TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: GET parameters of the page.

    `search` is a part of a site's name or of a connector ID; `state` is empty or `trouble` (not linked, or copies
    wait). The others are the keys after which a list goes on: any text is one, so a key whose row went is as good.
    """

    search: str = ""
    state: str = ""
    sites: str = ""
    links: str = ""
    pairs: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> Self:
        """Read the parameters; what is too long is cut, an unknown state is none."""
        texts = {name: query.get(name, "") for name in ("sites", "links", "pairs")}
        state = TROUBLE if query.get("state") == TROUBLE else ""
        return cls(query.get("search", "").strip()[:OPERATOR_SEARCH_CHARS_MAX], state, **texts)

    @property
    def only_trouble(self) -> bool:
        """Whether only what is not well is asked for."""
        return self.state == TROUBLE

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is left out on purpose."""
        return bool(self.search or self.state)

    def query(self, **changes: str) -> str:
        """Return the query string with changes, without what is empty: nothing at all, or with `?` before it."""
        names = ("search", "state", "sites", "links", "pairs")
        changed = replace(self, **changes)
        return "?" + text if (text := urlencode({name: v for name in names if (v := getattr(changed, name))})) else ""

    def found_in(self, *texts: str) -> bool:
        """Tell whether a row with these texts matches the search."""
        if not self.search:
            return True
        needle = self.search.casefold()
        return any(needle in text.casefold() for text in texts)


@dataclass(frozen=True, slots=True)
class Rows(Generic[C]):
    """One page of a list: its rows, how many match in all, how many there are, and the key of the next page."""

    rows: Sequence[C]
    matches_count: int
    total_count: int
    next_key: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What the operator's page shows of one moment."""

    time_ms: int
    started_ms: int
    totals: Totals
    linked_sites_count: int
    links_count: int
    sites: Rows[SiteReport]
    connectors: Rows[ConnectorReport]
    pairs: Rows[PairReport]
    windows: list[WindowReport]
    tokens: list[TokenReport]
    blocked: BlockedReport


async def look(hub: Hub, wanted: Wanted) -> Look:
    """Take one page of each list; raises StorageFailed."""
    stored = await hub.store.pairs()
    waiting = await waiting_copies(hub)
    versions = versions_of_sites(hub)
    return Look(
        hub.wall_ms(),
        hub.started_ms,
        await totals(hub, waiting),
        len(versions),
        len(hub.links),
        _sites(hub, wanted, versions),
        _connectors(hub, wanted, stored),
        _pairs(hub, wanted, stored, waiting),
        windows(hub),
        await tokens(hub),
        hub.blocked.report(),
    )


def _sites(hub: Hub, wanted: Wanted, versions: dict[str, list[int]]) -> Rows[SiteReport]:
    def matches(site: Site) -> bool:
        if wanted.only_trouble and (site.revoked_ms is not None or site.site_id in versions):
            return False
        return wanted.found_in(site.site_name)

    return _page(
        hub.sites.values(),
        len(hub.sites),
        matches,
        lambda site: site.site_name.casefold(),
        lambda site: site_report(hub, site, versions),
        wanted.sites,
    )


def _connectors(hub: Hub, wanted: Wanted, stored: list[Pair]) -> Rows[ConnectorReport]:
    def matches(each: tuple[tuple[str, str, str], str]) -> bool:
        (site_id, site_name, connector_id), _ = each
        if wanted.only_trouble and (site_id, connector_id) in hub.links:
            return False
        return wanted.found_in(site_name, connector_id)

    found = connectors(hub, stored)
    return _page(
        found,
        len(found),
        matches,
        lambda each: _key(each[0][1], each[0][2]),
        lambda each: connector_report(hub, *each),
        wanted.links,
    )


def _pairs(hub: Hub, wanted: Wanted, stored: list[Pair], waiting: Waiting) -> Rows[PairReport]:
    def matches(pair: Pair) -> bool:
        if wanted.only_trouble and pair.pair_id not in waiting and all(linked_sides(hub, pair.certificate)):
            return False
        source, target = pair.certificate.source, pair.certificate.target
        return wanted.found_in(source.site_name, source.connector_id, target.site_name, target.connector_id)

    return _page(
        stored,
        len(stored),
        matches,
        lambda pair: _key(pair.certificate.source.site_name, pair.certificate.source.connector_id),
        lambda pair: pair_report(hub, pair, waiting),
        wanted.pairs,
    )


def _key(site_name: str, connector_id: str) -> str:
    return f"{site_name.casefold()}/{connector_id}"


def _page(
    found: Iterable[T],
    total_count: int,
    matches: Callable[[T], bool],
    key: Callable[[T], str],
    row: Callable[[T], R],
    after: str,
) -> Rows[R]:
    matching = [each for each in found if matches(each)]
    behind = (each for each in matching if key(each) > after) if after else matching
    page = nsmallest(OPERATOR_ROWS_MAX + 1, behind, key=key)  # one more tells whether there is a next page
    shown = page[:OPERATOR_ROWS_MAX]
    return Rows(
        [row(each) for each in shown],
        len(matching),
        total_count,
        key(shown[-1]) if len(page) > OPERATOR_ROWS_MAX else None,
    )
