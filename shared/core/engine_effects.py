"""What a pair's engine asks its shell to do, after the commit of the unit of work that it came from."""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages import AskHeld, AskStatement, Credit, Sealed, Statement


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame on the link, if there is one."""

    frame: Sealed | Statement | AskStatement | AskHeld | Credit


@dataclass(frozen=True, slots=True)
class Changed:
    """Something people look at changed: `readings`, `account`, `devices`, `resources`, `gaps`, `link`."""

    what: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The link carried something broken; it is counted and the link goes on (G7)."""

    what: str


@dataclass(frozen=True, slots=True)
class PeerTime:
    """The other side's clock said this just now, ms since 1970; a disagreement suspends expiry (G5)."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Relink:
    """End the link, for the next one brings again what this one was refused."""

    why: str


Effect = Send | Changed | Fault | PeerTime | Relink
