"""Repairs: what needs a person, each with a stable code; raised once, cleared once, and calm in between (N2, G9).

`shared.core.health` finds what holds at a moment; the book here decides what of it is a repair: a finding has to hold for
a while before it is raised, and to be gone for a while before it is cleared. Durations count on the monotonic clock, so
that a wall clock that jumps raises and clears nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.core.repair_kinds import REPAIRS, RepairKind

Key = tuple[str, str, str]
"""Code, scope (a connector ID, empty for the whole site or hub), and subject (such as an alias)."""
# What anybody may be told without a log-in: figures, and words of ours. What is in neither table is not told.
PUBLIC_FACTS: Final = frozenset(
    {
        *("age", "budget", "cap", "channel", "count", "different", "first", "free", "last", "limit", "needed", "off"),
        *("other", "place", "retention", "then", "used", "waiting", "way", "what"),
    }
)
UNNAMED_FACTS: Final = {
    "alias": "…",
    "connector": "a connector",
    "peer": "the other site",
    "who": "somebody",
    "why": "What exactly is the matter stands on the page Repairs, and in the log.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not well at this moment. `facts` are the words that its kind's sentences name."""

    code: str
    scope: str = ""
    subject: str = ""
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        """What makes it the same repair as before."""
        return self.code, self.scope, self.subject

    @property
    def kind(self) -> RepairKind:
        """Its row of the table."""
        return REPAIRS[self.code]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What holds, and the codes about which nothing can be said now: repairs of these stay as they are."""

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair that was raised. `told`: people were told of it, or the notice is on its way. Times are ms since 1970."""

    finding: Finding
    since_ms: int
    told: bool = False
    cleared_ms: int | None = None

    @property
    def key(self) -> Key:
        """Its code, scope and subject."""
        return self.finding.key

    @property
    def is_urgent(self) -> bool:
        """Whether readings are refused, stand still, or are about to be lost."""
        return self.finding.kind.is_urgent

    @property
    def title(self) -> str:
        """What it is called."""
        return self._said(self.finding.kind.title)

    @property
    def cause(self) -> str:
        """What is the matter, in a sentence."""
        return self._said(self.finding.kind.cause)

    @property
    def means(self) -> str:
        """What follows from it."""
        return self._said(self.finding.kind.means)

    @property
    def fix(self) -> str:
        """What to do."""
        return self._said(self.finding.kind.fix)

    @property
    def unnamed(self) -> Repair:
        """The same without a name, address or error text in its words: for who asks without a log-in."""
        finding = self.finding
        facts = tuple(
            (name, said if name in PUBLIC_FACTS else UNNAMED_FACTS.get(name, "…")) for name, said in finding.facts
        )
        return replace(self, finding=replace(finding, subject="", facts=facts))

    def _said(self, template: str) -> str:
        return template.format_map(_Shown(self.finding.facts))


class _Shown(dict[str, str]):
    """Leaves a visible mark where a fact is missing: stored facts may come from another release."""

    def __missing__(self, name: str) -> str:
        return "?"


@dataclass(slots=True)
class _Entry:
    """Something that holds, held, or is about to. Times without `wall` are monotonic ms."""

    finding: Finding
    seen_wall_ms: int
    seen_ms: int
    repair: Repair | None = None
    raised_ms: int = 0
    gone_ms: int | None = None


class RepairBook:
    """All repairs of one site or hub. Fed with judgements; drained of changes, which the shell stores and tells."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._changes: list[Repair] = []

    def load(self, repairs: Iterable[Repair], now_ms: int) -> None:
        """Take up the repairs that were open when the process ended; `now_ms` is monotonic."""
        for repair in repairs:
            self._entries[repair.key] = _Entry(repair.finding, repair.since_ms, now_ms, repair, now_ms)

    def observe(self, scope: str, judgement: Judgement, *, wall_ms: int, now_ms: int) -> None:
        """Hear how a scope is at this moment; `now_ms` is monotonic."""
        held = {finding.key: finding for finding in judgement.findings}
        for finding in held.values():
            self._hold(finding, wall_ms, now_ms)
        for key, entry in list(self._entries.items()):
            if key[1] == scope and key not in held and key[0] not in judgement.unknown:
                self._miss(key, entry, wall_ms, now_ms)

    def _hold(self, finding: Finding, wall_ms: int, now_ms: int) -> None:
        entry = self._entries.get(finding.key)
        if entry is None:
            entry = self._entries[finding.key] = _Entry(finding, wall_ms, now_ms)
        entry.finding, entry.gone_ms = finding, None
        if entry.repair is not None:
            entry.repair = replace(entry.repair, finding=finding)
        elif now_ms - entry.seen_ms >= finding.kind.raise_after_ms:
            entry.repair, entry.raised_ms = Repair(finding, entry.seen_wall_ms), now_ms
            self._changes.append(entry.repair)

    def _miss(self, key: Key, entry: _Entry, wall_ms: int, now_ms: int) -> None:
        if entry.repair is None:
            del self._entries[key]  # it has to hold without a break to be raised
            return
        if entry.gone_ms is None:
            entry.gone_ms = now_ms
        if now_ms - entry.gone_ms >= entry.finding.kind.clear_after_ms:
            del self._entries[key]
            self._changes.append(replace(entry.repair, cleared_ms=wall_ms))

    def keep_scopes(self, scopes: Iterable[str], wall_ms: int) -> None:
        """Clear what belongs to connectors that are gone; `""` always stays."""
        kept = {"", *scopes}
        for key in [key for key in self._entries if key[1] not in kept]:
            entry = self._entries.pop(key)
            if entry.repair is not None:
                self._changes.append(replace(entry.repair, cleared_ms=wall_ms))

    def take_changes(self) -> list[Repair]:
        """Return what was raised and cleared since the last call, in order; a cleared one has `cleared_ms`."""
        taken, self._changes = self._changes, []
        return taken

    def take_untold(self, now_ms: int, after_ms: int) -> list[Repair]:
        """Return repairs that have stood for `after_ms` and that nobody was told of, and note that they are told now."""
        told = []
        for entry in self._entries.values():
            if entry.repair is not None and not entry.repair.told and now_ms - entry.raised_ms >= after_ms:
                entry.repair = replace(entry.repair, told=True)
                told.append(entry.repair)
        return told

    def is_open(self, code: str, scope: str = "", subject: str = "") -> bool:
        """Whether a repair is open: figures that have to fall further to end it than they rose to begin it ask."""
        entry = self._entries.get((code, scope, subject))
        return entry is not None and entry.repair is not None

    def open(self, scopes: Sequence[str] | None = None) -> tuple[Repair, ...]:
        """Return the open repairs of these scopes (None: of all), the urgent first, then the oldest."""
        return self._sorted(entry for key, entry in self._entries.items() if scopes is None or key[1] in scopes)

    def shown(self, scopes: Sequence[str] | None = None) -> tuple[Repair, ...]:
        """Return those of them that people are to see: not what the link that is up now disproves."""
        return self._sorted(
            entry
            for key, entry in self._entries.items()
            if (scopes is None or key[1] in scopes)
            and not (entry.gone_ms is not None and entry.finding.kind.is_of_link)
        )

    @staticmethod
    def _sorted(entries: Iterable[_Entry]) -> tuple[Repair, ...]:
        found = [entry.repair for entry in entries if entry.repair is not None]
        return tuple(sorted(found, key=lambda repair: (not repair.is_urgent, repair.since_ms, repair.key)))


NOTHING: Final = Judgement()
