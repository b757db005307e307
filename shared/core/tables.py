"""State machines as tables: what stands in the table is legal, what is absent is a bug; diagrams are drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from shared.errors import Misuse

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class Table(Generic[S, E]):
    """The legal transitions of one machine."""

    def __init__(self, name: str, start: S, moves: Mapping[tuple[S, E], S]) -> None:
        self.name = name
        self.start = start
        self.moves = dict(moves)

    def after(self, state: S, event: E) -> S:
        """Return the next state; raises Misuse where the event is not legal in this state."""
        try:
            return self.moves[state, event]
        except KeyError:
            raise Misuse(f"{self.name}: {event.name} is not legal in {state.name}") from None

    def allows(self, state: S, event: E) -> bool:
        """Tell whether an event is legal in a state."""
        return (state, event) in self.moves

    def mermaid(self) -> str:
        """Draw the machine as a Mermaid state diagram (docs/architecture.md holds it, a test compares)."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.value}"]
        for (state, event), following in self.moves.items():
            lines.append(f"    {state.value} --> {following.value}: {event.value.replace('_', ' ')}")
        return "\n".join(lines)
