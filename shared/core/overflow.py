"""What gives way when what waits reaches its cap: the oldest readings of some resources, new ones of the others (G5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.columns import Columns

DROP_OLDEST: Final = "drop_oldest"
REFUSE_NEW: Final = "refuse_new"
# A resource without a choice of its own follows the site.
AS_SITE: Final = ""
OVERFLOWS: Final = (AS_SITE, DROP_OLDEST, REFUSE_NEW)


@dataclass(frozen=True, slots=True)
class Overflow:
    """The choices of one stream: that of the site, and by alias those of resources that have their own."""

    refuse_by_default: bool = False
    own: Mapping[str, str] = field(default_factory=dict)

    def keeps(self, resource: str) -> bool:
        """Whether accepted readings of a resource are never dropped for want of room: new ones are refused instead."""
        choice = self.own.get(resource, AS_SITE)
        return choice == REFUSE_NEW if choice else self.refuse_by_default

    @property
    def keeps_all(self) -> bool:
        """Whether there is no resource whose readings may be dropped."""
        return self.refuse_by_default and DROP_OLDEST not in self.own.values()

    @property
    def keeps_none(self) -> bool:
        """Whether there is no resource whose readings are kept at all costs."""
        return not self.refuse_by_default and REFUSE_NEW not in self.own.values()

    def kept(self, columns: Columns) -> list[bool]:
        """Tell of each series of a batch whether it is kept."""
        if self.keeps_all or self.keeps_none:
            return [self.refuse_by_default] * len(columns.series)
        choices = {resource: self.keeps(resource) for resource in dict.fromkeys(name[1] for name in columns.series)}
        return [choices[name[1]] for name in columns.series]
