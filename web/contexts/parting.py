"""Parting on purpose (page 4): what waits, what keeping and flushing mean, and the words of both sides."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Role, template
from web.contexts.shell import Shell


class PartingStage(StrEnum):
    """How far a connector is from being alone. The values are those of the core."""

    TOGETHER = "together"
    ASKED_HERE = "asked_here"
    ASKED_THERE = "asked_there"
    ASKED_BOTH = "asked_both"
    AGREED = "agreed"
    """Parted here; the hub and the other side may not know yet."""
    PARTED = "parted"
    ALONE = "alone"
    """Not paired, and nothing to tell of an earlier pair."""


class PartedFacts(Struct, frozen=True):
    """What became of the last pair. Counts are of readings but for `lost_edit_count`, which is edits never told there."""

    at_ms: int
    is_flushed: bool
    accepted_count: int
    applied_count: int
    dropped_count: int
    lost_edit_count: int


@template("_parting.html")
class PartingCard(Struct, frozen=True):
    """Fragment: how parting stands and what waits; live. Counts are of readings but for `pending_edit_count`."""

    element_id: ClassVar[str] = "parting"
    connector_id: str
    role: Role
    """The role in the pair, also where it is over."""
    stage: PartingStage
    peer_site_name: str
    queued_count: int = 0
    held_count: int = 0
    quarantined_count: int = 0
    pending_edit_count: int = 0
    asked_by: str = ""
    asked_ms: int | None = None
    declined_ms: int | None = None
    parted: PartedFacts | None = None


@template("_parting_forms.html")
class PartingForms(Struct, frozen=True):
    """Fragment: what can be said now. It changes with the stage only, so that nothing typed is lost to an update.

    Forms, all POST under `/connectors/{id}/remote-sync/part`: the path itself asks and `/agree` agrees, both with `what`
    (`keep` or `flush`) and `name`, the connector's name typed; `/withdraw` and `/decline` have no fields.
    """

    element_id: ClassVar[str] = "parting-forms"
    connector_id: str
    connector_name: str
    role: Role
    stage: PartingStage
    peer_site_name: str
    is_flush: bool = False
    errors: Errors = field(default_factory=dict)


@template("parting.html")
class PartingPage(Struct, frozen=True):
    """A page of its own for parting a connector from its peer."""

    shell: Shell
    card: PartingCard
    forms: PartingForms
