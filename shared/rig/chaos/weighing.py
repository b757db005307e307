"""What chaos left, weighed: readings against notices, and the accounts of both sides against what is found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shared.rig.chaos.excuses import Allotment, Series, excuses_of

_SAMPLES_MAX: Final = 20
_CAUGHT_MAX: Final = 5


class Verdict(msgspec.Struct):
    """What must be 0, and what explains it: `named` by notices, `forgotten` by a source that was put back to before.

    `counted_twice` readings such a source accepted again, as it must: they are there once, and twice in its account.
    """

    lost: int = 0
    duplicated: int = 0
    unaccounted: int = 0
    edits_unequal: int = 0
    named: int = 0
    forgotten: int = 0
    counted_twice: int = 0
    samples: list[str] = msgspec.field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything that must be 0 is 0."""
        return not (self.lost or self.duplicated or self.unaccounted or self.edits_unequal)

    def say(self, text: str) -> None:
        """Keep a sample."""
        if len(self.samples) < _SAMPLES_MAX:
            self.samples.append(text)


@dataclass(slots=True)
class Restore:
    """A site that was put back to a copy; monotonic seconds. `unsealed` readings wait in the tail of the copy."""

    site: str
    copied_s: float
    restored_s: float
    unsealed: int = 0

    def forgets(self, accepted_s: float) -> bool:
        """Whether what was answered as accepted at this time may not be in the copy."""
        return self.copied_s <= accepted_s <= self.restored_s


@dataclass(slots=True)
class Evidence:
    """What was read when all was quiet. `own`: the accounts of each site; `notices`: its gap notices.

    `twice_max`: readings that a restored source may have accepted twice, as nobody can know: those in the tail of a copy,
    and those of requests that were under way over a restore.
    """

    own: Mapping[str, Mapping[str, Any]]
    notices: Mapping[str, Sequence[Mapping[str, Any]]]
    restores: Sequence[Restore] = ()
    twice_max: int = 0

    def was_restored(self, site: str) -> bool:
        """Whether a site was put back."""
        return any(restore.site == site for restore in self.restores)


@dataclass(slots=True)
class _Missing:
    """Readings of a series that the same excuses cover, and that a restore of the source explains, or does not."""

    series: Series
    covered: tuple[int, ...]
    times_ms: list[int]
    may_be_forgotten: bool


@dataclass(slots=True)
class Scales:
    """`put` each series in, then `weigh`."""

    evidence: Evidence
    sent: int = 0
    found: int = 0
    strangers: int = 0
    repeated: int = 0
    # The target has them, and the source does not: by these a source learns of its own restore.
    shown_forgotten: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    _missing: list[_Missing] = field(default_factory=list)
    _allotment: Allotment = field(init=False)

    def __post_init__(self) -> None:
        notices = self.evidence.notices
        self._allotment = Allotment(excuses_of(notices["source"], notices["target"]))

    def put(
        self,
        series: Series,
        sent: Mapping[int, tuple[float, float]],
        found: Mapping[int, float],
        kept: Mapping[int, float],
        repeated: int = 0,
    ) -> None:
        """Put a series in: what was `sent` as (value, when it was answered) by time, and what each side has of it.

        `found` is at the target, `kept` at the source (asked only where something is missing, or the source was restored);
        `repeated` are times that came more than once.
        """
        self.sent += len(sent)
        self.repeated += repeated
        there = {time_ms for time_ms, (value, _) in sent.items() if found.get(time_ms) == value}
        self.found += len(there)
        strangers = found.keys() - sent.keys()
        self.strangers += len(strangers)
        if strangers:
            self.verdict.say(f"nobody sent: {len(strangers)} of {series[0]} {series[1]}, such as {min(strangers)}")
        self.shown_forgotten += sum(kept.get(time_ms) != sent[time_ms][0] for time_ms in there)
        missing: dict[tuple[bool, bool], list[int]] = defaultdict(list)
        for time_ms in sorted(sent.keys() - there):
            value, accepted_s = sent[time_ms]
            is_kept = kept.get(time_ms) == value
            missing[is_kept, not is_kept and self._is_forgettable(accepted_s)].append(time_ms)
        for (is_kept, may_be_forgotten), times_ms in missing.items():
            for covered, some in self._allotment.classes(series, times_ms, kept=is_kept).items():
                self._missing.append(_Missing(series, covered, some, may_be_forgotten))

    def _is_forgettable(self, accepted_s: float) -> bool:
        return any(each.site == "source" and each.forgets(accepted_s) for each in self.evidence.restores)

    def weigh(self) -> Verdict:
        """Return what does not hold."""
        verdict = self.verdict
        # Those that only a notice can excuse come first: what a source forgot needs none.
        for missing in sorted(self._missing, key=lambda each: each.may_be_forgotten):
            left = self._allotment.allot(missing.covered, len(missing.times_ms))
            verdict.named += len(missing.times_ms) - left
            if missing.may_be_forgotten:
                verdict.forgotten += left
            elif left:
                verdict.lost += left
                verdict.say(
                    f"lost: {left} of {missing.series[0]} {missing.series[1]}: {missing.times_ms[:_CAUGHT_MAX]}"
                )
        self._count_twice()
        for what, count in self._differences().items():
            if count:
                verdict.unaccounted += count
                verdict.say(f"unaccounted: {count}: {what}")
        if not verdict.clean:
            verdict.say(f"{self.sent} sent, {self.found} found, accounts: {self.evidence.own}")
        return verdict

    def _count_twice(self) -> None:
        """Count what is applied beyond what is there, by the account of either side: a history shows a time once only."""
        source, target = self.evidence.own["source"], self.evidence.own["target"]
        over = max(0, target["applied"] - self.found, source["applied"] - self.sent)
        self.verdict.counted_twice = min(over, self.evidence.twice_max)
        self.verdict.duplicated = self.repeated + over - self.verdict.counted_twice

    def _differences(self) -> dict[str, int]:
        """Return by what should hold by how many readings it does not."""
        source, target, verdict = self.evidence.own["source"], self.evidence.own["target"], self.verdict
        places = source["applied"] + source["queued"] + source["quarantined"] + source["dropped"]
        found = {
            "the source's accepted and its places": abs(source["accepted"] - places),
            "applied at the source and at the target": abs(source["applied"] - target["applied"]),
            "named by notices, beyond what was dropped": max(0, verdict.named - source["dropped"]),
            "found at the target and never sent": self.strangers,
        }
        # A restored target may have by itself what a restored source gave up, out of a segment made again.
        spare = source["dropped"] if self.evidence.was_restored("target") else 0
        found["found, beyond what is applied"] = max(0, self.found - target["applied"] - spare)
        if not self.evidence.was_restored("source"):
            found["accepted, and sent"] = abs(source["accepted"] - self.sent)
        else:
            found["sent, not forgotten, and not accepted"] = max(0, self.sent - verdict.forgotten - source["accepted"])
            found["accepted, beyond what was sent"] = max(0, source["accepted"] - self.sent - self.evidence.twice_max)
            # A copy put in place by hand shows only by what the target has beyond it.
            silent = self.shown_forgotten and not source["unknown"]
            found["forgotten without the word 'unknown'"] = verdict.forgotten if silent else 0
        if not self.evidence.restores:
            named = sum(notice["count"] or 0 for notice in self.evidence.notices["source"])
            found["dropped, and in notices"] = abs(source["dropped"] - named)
        return found
