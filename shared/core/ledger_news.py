"""Which accounts of resources the source states next: those that changed, a bounded part of them at a time (G1)."""

from __future__ import annotations

from shared.core.ledger import Ledger
from shared.core.ports import OutboxStore
from shared.limits import RESOURCE_LEDGERS_STATED_MAX


class LedgerNews:
    """What the destination was told since it was told everything."""

    def __init__(self) -> None:
        self._told: dict[str, Ledger] = {}
        self._complete: Ledger | None = None

    def forget(self) -> None:
        """Tell everything again: the destination forgets what it was told."""
        self._told = {}
        self._complete = None

    def is_due(self, ledger: Ledger) -> bool:
        """Whether there may be something new, `ledger` being that of the whole stream."""
        return ledger != self._complete

    def next(self, store: OutboxStore, ledger: Ledger) -> dict[str, Ledger]:
        """Return what to state now by resource; what finds no room follows the next time."""
        ledgers = store.resource_ledgers()
        gone = {name: Ledger() for name, told in self._told.items() if name not in ledgers and told != Ledger()}
        news = gone | {name: found for name, found in ledgers.items() if self._told.get(name) != found}
        if len(news) > RESOURCE_LEDGERS_STATED_MAX:
            news = {name: news[name] for name in list(news)[:RESOURCE_LEDGERS_STATED_MAX]}
        else:
            self._complete = ledger
        self._told.update(news)
        return news
