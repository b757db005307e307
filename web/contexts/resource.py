"""One resource (page 7): what it is, its devices, a chart of one of them with gaps shaded, and the raw readings."""

from typing import ClassVar

from msgspec import Struct, field

from web.contexts.base import Errors, Role, Value, template
from web.contexts.replay import ReplayForm, ReplayList
from web.contexts.resources import ResourceRow
from web.contexts.shell import Shell


@template("_resource_facts.html")
class ResourceFacts(Struct, frozen=True):
    """Fragment: the definition, and what is known of its readings. `retention_days` is `None` where kept for ever."""

    element_id: ClassVar[str] = "resource-facts"
    connector_id: str
    role: Role
    row: ResourceRow
    retention_days: float | None
    tail_count: int = 0
    held_count: int = 0
    sync_note: str = ""
    overflow_text: str = ""
    """At a source: what gives way when the outbox is full; empty elsewhere."""


class SeriesChoice(Struct, frozen=True):
    """A device that reports the resource; `url` shows its chart."""

    identity: str
    name: str
    url: str
    last_value: Value
    last_ms: int | None
    is_chosen: bool = False


@template("_series_list.html")
class SeriesList(Struct, frozen=True):
    """Fragment: the devices that report the resource, those last seen first; `total_count` match the search."""

    element_id: ClassVar[str] = "series-list"
    unit: str
    choices: tuple[SeriesChoice, ...]
    total_count: int
    search: str = ""


class RangeChoice(Struct, frozen=True):
    """A span of time that the chart can show."""

    label: str
    url: str
    is_chosen: bool


class ChartGap(Struct, frozen=True):
    """A shaded span. `reading_count` is `None` where it was not counted."""

    cause: str
    first_ms: int
    last_ms: int
    reading_count: int | None


class ChartSlice(Struct, frozen=True):
    """One row of the table that stands for the chart. `count` is `None` where only a part was read."""

    first_ms: int
    last_ms: int
    count: int | None
    low: Value
    high: Value
    last: Value


@template("_chart.html")
class ChartCard(Struct, frozen=True):
    """Fragment: the chart's data, and the same in words and as a table.

    `data` is JSON for `static/js/chart.js`: `from_ms`, `to_ms`, `unit`, `points` as [ms, number or null] for numbers,
    `states` as [from ms, to ms, text] for everything else, `gaps` as [from ms, to ms, cause].
    """

    element_id: ClassVar[str] = "chart-data"
    device: str
    unit: str
    is_number: bool
    data: str
    summary: str
    note: str
    """What the drawing leaves out, empty where it leaves out nothing."""
    slices: tuple[ChartSlice, ...]
    gaps: tuple[ChartGap, ...]
    from_ms: int
    to_ms: int
    has_readings: bool


class RawReading(Struct, frozen=True):
    """One reading."""

    at_ms: int
    value: Value


@template("_raw_readings.html")
class RawReadings(Struct, frozen=True):
    """Fragment: the readings of the range as they are stored, newest first."""

    element_id: ClassVar[str] = "raw-readings"
    unit: str
    rows: tuple[RawReading, ...]
    zone_ms: int
    """A moment of the range: the zone is named as it is then."""
    csv_url: str
    json_url: str
    newest_url: str | None = None
    """Where the first page is; `None` on the first page."""
    older_url: str | None = None


@template("_resource_edit.html")
class ResourceEdit(Struct, frozen=True):
    """Fragment: change the definition, or delete it.

    Form: POST `/connectors/{id}/resources/{alias}` with `format`, `unit`, `allowed`, `is_settable`, `retention_days`,
    `overflow` (empty: as the site does, `site_overflow` in words).
    """

    element_id: ClassVar[str] = "resource-edit"
    connector_id: str
    alias: str
    format: str
    unit: str
    allowed: str
    is_settable: bool
    retention_days: str
    can_change_format: bool
    overflow: str = ""
    site_overflow: str = "drop the oldest readings"
    note: str = ""
    """What a change means for the pair, empty without one."""
    errors: Errors = field(default_factory=dict)
    is_open: bool = False


@template("resource.html")
class ResourcePage(Struct, frozen=True):
    """One resource. Chart and readings are `None` where no device has reported it."""

    shell: Shell
    connector_id: str
    alias: str
    facts: ResourceFacts
    series: SeriesList
    ranges: tuple[RangeChoice, ...]
    chart: ChartCard | None
    readings: RawReadings | None
    edit: ResourceEdit | None
    device: str = ""
    range_name: str = ""
    from_text: str = ""
    to_text: str = ""
    zone_name: str = "UTC"
    range_errors: Errors = field(default_factory=dict)
    replay_form: ReplayForm | None = None
    replays: ReplayList | None = None
