"""Pairings that this connector gave up as their source, and whether the hub has heard of it (protocol, pairing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connector import connectors
from shared.database import Database
from shared.messages import AnyFrame, DissolvePair

Send = Callable[[AnyFrame], None]
# A hub of an earlier release keeps a dissolution without a word: so many tellings on a link that stands are enough.
_UNANSWERED_MAX: Final = 5


class GivenUp:
    """The signed words that pairings are off, repeated to the hub until it has answered each."""

    def __init__(self, database: Database, connector_id: str) -> None:
        self._database = database
        self._connector_id = connector_id
        self._send: Send | None = None
        self._untold: dict[bytes, int] = {}  # statement -> how often the hub, on this link, had time and was silent

    @property
    def untold(self) -> bool:
        """Whether a link is wanted to tell of a pairing that was given up."""
        return bool(self._untold)

    async def load(self) -> None:
        """Tell of all of them once more: the process may have ended, or the hub lost its disk, before it was heard."""
        statements = await self._database.read(lambda c: connectors.dissolutions(c, self._connector_id))
        # Beside those that were given up while this read.
        self._untold = dict.fromkeys((*statements, *self._untold), 0)
        self._tell()

    def add(self, statement: bytes) -> None:
        """A pairing was given up just now: tell the hub, now or on the next link, which passes it on to the target."""
        self._untold[statement] = 0
        self._tell()

    def open_link(self, send: Send) -> None:
        """The link is up: tell the hub (again)."""
        self._send = send
        self._untold = dict.fromkeys(self._untold, 0)
        self._tell()

    def close_link(self) -> None:
        """The link is gone."""
        self._send = None

    def tell_again(self) -> None:
        """Tell what the hub has not answered for a while: its disk may have refused."""
        self._untold = {statement: told + 1 for statement, told in self._untold.items() if told < _UNANSWERED_MAX}
        self._tell()

    def _tell(self) -> None:
        if self._send is not None:
            for statement in self._untold:
                self._send(DissolvePair(statement))

    def on_answer(self, statement: bytes) -> bool:
        """The hub shows a dissolution; return whether it was an answer: the hub has stored it."""
        return self._untold.pop(statement, None) is not None

    def on_hub_failed(self) -> None:
        """The hub could not store something: it does answer, so it goes on being asked."""
        self._untold = dict.fromkeys(self._untold, 0)
