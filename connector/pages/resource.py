"""One resource (page 7): its definition, its devices, a chart of one of them with gaps shaded, raw readings (W9, N4)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from connector import charts, gaps, history, history_damage, resource_figures
from connector.charts import Folded
from connector.gaps import SeriesGap
from connector.pages.frame import Desk, Parts, PartsOf, Visit, frame_parts
from connector.pages.overview import cause_words
from connector.pages.replay_list import replay_form, replay_list, resource_replay_url
from connector.pages.resource_forms import edit_form, overflow_words
from connector.pages.resource_rows import plain, shown_row
from connector.pages.situation import Situation
from connector.resource_figures import SeriesState
from connector.resources import ResourceRow, peer_definitions
from shared.errors import Refused
from shared.limits import DAY_MS, HOUR_MS, SECOND_MS
from web import contexts as c
from web import formats, paths

RANGES: Final = {"1h": HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
_RANGE_WORDS: Final = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_DEFAULT_RANGE: Final = "24h"
_CUSTOM: Final = "custom"
SERIES_SHOWN_MAX: Final = 25
RAW_ROWS: Final = 50
_TABLE_SLICES: Final = 24
_IDENTITY_CHARS_MAX: Final = 300
# A full chart is drawn again when there is a point more to see: a slice later, and within these.
_DRAW_AGAIN_MS: Final = (SECOND_MS, 10 * SECOND_MS)
# A chart of less than this is so small to send that it follows every reading.
_SMALL_BYTES: Final = 4_096
# Drawing again waits this many times as long as drawing took.
_DRAW_AGAIN_TIMES: Final = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for: a device, a span, a page of raw readings. Times are ms since 1970."""

    connector_id: str
    alias: str
    device: str
    find: str
    range_name: str
    from_ms: int
    to_ms: int
    from_text: str
    to_text: str
    before_ms: int | None
    errors: c.Errors

    @classmethod
    def of(cls, visit: Visit, alias: str) -> Asked:
        """Read it from the query; a range that makes no sense is named in `errors`, and the usual one shown."""
        name = visit.asked("range", 10)
        texts = visit.asked("from", 40).strip(), visit.asked("to", 40).strip()
        now_ms, errors = visit.now_ms, {}
        span = None
        if name == _CUSTOM or (not name and any(texts)):
            try:
                span = read_span(*texts, visit.desk.viewer(visit.request).zone, now_ms)
                name = _CUSTOM
            except Refused as refused:
                errors = {"from" if str(refused.facts["what"]) == "From" else "to": str(refused)}
        if span is None:
            name = name if name in RANGES else _DEFAULT_RANGE
            # Readings of a clock that is a little ahead are there as well.
            span = (now_ms - RANGES[name], now_ms + SECOND_MS)
        before = visit.asked("before", 20)
        return cls(
            visit.connector_id,
            alias,
            visit.asked("device", _IDENTITY_CHARS_MAX),
            visit.asked("find", 100).strip(),
            name,
            *span,
            *texts,
            int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None,
            errors,
        )

    def url(self, path: str = paths.RESOURCE, **changed: str) -> str:
        """Return the address of this page, or of what belongs to it, with some of the fields changed."""
        base = paths.fill(path, connector_id=self.connector_id, alias=self.alias)
        query = urlencode({name: value for name, value in (self.fields() | changed).items() if value})
        return base + (f"?{query}" if query else "")

    def fields(self) -> dict[str, str]:
        """Return device and span as fields of a query."""
        fields = {"device": self.device, "find": self.find}
        if self.range_name == _CUSTOM:
            return fields | {"range": _CUSTOM, "from": self.from_text, "to": self.to_text}
        return fields | {"range": "" if self.range_name == _DEFAULT_RANGE else self.range_name}


def read_span(from_text: str, to_text: str, zone: tzinfo, now_ms: int) -> tuple[int, int]:
    """Read two times, in the viewer's zone where they name none; an empty `to` is now. Raises Refused('invalid')."""
    from_ms = read_moment("From", from_text, zone)
    to_ms = read_moment("To", to_text, zone) if to_text else now_ms + SECOND_MS
    if from_ms >= to_ms:
        raise Refused("invalid", what="To", why="it is a time after the first one")
    return from_ms, to_ms


def read_moment(what: str, text: str, zone: tzinfo) -> int:
    """Read one time, in the viewer's zone where it names none; raises Refused('invalid')."""
    try:
        at = datetime.fromisoformat(text)
        at_ms = round((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * SECOND_MS)
    except (ValueError, OverflowError):
        raise Refused("invalid", what=what, why="it is a date and a time, such as 2026-11-20T14:00") from None
    if at_ms < 0:
        raise Refused("invalid", what=what, why="it lies before 1970")
    return at_ms


async def show(visit: Visit) -> Response:
    """Answer the page."""
    return visit.respond(await page(visit, visit.named("alias")))


async def page(
    visit: Visit, alias: str, edit: c.ResourceEdit | None = None, replay: c.ReplayForm | None = None
) -> c.ResourcePage:
    """Return the page; raises Refused('not_found'). `edit` and `replay` are forms that were refused."""
    seen = await visit.look()
    asked = Asked.of(visit, alias)
    stream = urlencode({"page": "resource", "alias": alias} | {k: v for k, v in asked.fields().items() if v})
    found = await _find(visit, asked)
    chart, readings = await _series_parts(visit, asked, found)
    return c.ResourcePage(
        # Somebody who leafs through older readings is not to lose his place.
        shell=await visit.shell(c.Section.RESOURCES, seen, stream=stream if asked.before_ms is None else ""),
        connector_id=seen.connector_id,
        alias=alias,
        facts=await _facts(visit, seen, found.row),
        series=_series_list(asked, found),
        ranges=tuple(
            c.RangeChoice(words, asked.url(range=name, **{"from": "", "to": ""}), name == asked.range_name)
            for name, words in _RANGE_WORDS.items()
        ),
        chart=chart,
        readings=readings,
        edit=edit or (edit_form(seen, found.row, visit.site.settings.outbox_full) if visit.may("edit") else None),
        replay_form=replay or _replay_form(visit, seen, asked, found),
        replays=await replay_list(visit, seen, alias) if seen.is_paired else None,
        device=found.chosen.identity if found.chosen else "",
        range_name=asked.range_name,
        from_text=asked.from_text if asked.errors else _local(visit, asked.from_ms),
        to_text=asked.to_text if asked.errors or not asked.to_text else _local(visit, asked.to_ms),
        zone_name=formats.zone_label(formats.moment(asked.to_ms, visit.desk.viewer(visit.request).zone)),
        range_errors=asked.errors,
    )


def _replay_form(visit: Visit, seen: Situation, asked: Asked, found: _Found) -> c.ReplayForm | None:
    """Fill the form in for what the chart shows."""
    span = asked.from_ms, asked.to_ms if asked.range_name == _CUSTOM else None
    url = resource_replay_url(asked.connector_id, asked.alias)
    return replay_form(visit, seen, url, span, device=found.chosen.identity if found.chosen else "")


def _local(visit: Visit, at_ms: int) -> str:
    """Write a moment as the fields of the range want it."""
    return f"{formats.moment(at_ms, visit.desk.viewer(visit.request).zone):%Y-%m-%dT%H:%M}"


class _Live:
    """The update stream of one open page: the chart is drawn again when there is a point more to see."""

    def __init__(self) -> None:
        self._due_ms = 0.0
        self._parts: Parts = ()

    async def parts(self, visit: Visit) -> Parts:
        seen = await visit.look()
        asked = Asked.of(visit, visit.asked("alias"))
        clock = visit.site.clock
        started_ms = clock.monotonic_ms()
        if not self._parts or started_ms >= self._due_ms:
            found = await _find(visit, asked)
            chart, readings = await _series_parts(visit, asked, found)
            facts = await _facts(visit, seen, found.row)
            replays = await replay_list(visit, seen, asked.alias) if seen.is_paired else None
            more = (part for part in (chart, readings, replays) if part is not None)
            self._parts = (facts, _series_list(asked, found), *more)
            ended_ms = clock.monotonic_ms()
            # One drawing that took long, for the machine had much else to do, must not keep the page as it was for minutes.
            rest_ms = min(_DRAW_AGAIN_TIMES * (ended_ms - started_ms), _DRAW_AGAIN_MS[1])
            self._due_ms = ended_ms + max(rest_ms, _wait_ms(asked, chart))
        shell = await visit.shell(c.Section.RESOURCES, seen)
        return (*frame_parts(shell), *self._parts)


def _wait_ms(asked: Asked, chart: c.ChartCard | None) -> float:
    if chart is None or len(chart.data) < _SMALL_BYTES:
        return 0
    least_ms, most_ms = _DRAW_AGAIN_MS
    return min(max((asked.to_ms - asked.from_ms) / charts.SLICES_MAX, least_ms), most_ms)


def live() -> PartsOf:
    """Return what the update stream of one visit carries."""
    return _Live().parts


# --- what is there ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    row: ResourceRow
    series: list[SeriesState]
    total: int
    chosen: SeriesState | None


async def _find(visit: Visit, asked: Asked) -> _Found:
    """Look the resource and its devices up; raises Refused('not_found')."""
    rows = await visit.site.resources(asked.connector_id)
    row = next((each for each in rows if each.alias == asked.alias and each.match != "missing_here"), None)
    if row is None:
        raise Refused("not_found", what="resource")

    def unit(connection: sqlite3.Connection) -> _Found:
        series, total = resource_figures.list_series(
            connection, asked.connector_id, asked.alias, search=asked.find, limit=SERIES_SHOWN_MAX
        )
        chosen = series[0] if series and not asked.device else None
        if asked.device:
            chosen = resource_figures.find_series(connection, asked.connector_id, asked.alias, asked.device)
        return _Found(row, series, total, chosen)

    return await visit.site.database.read(unit)


async def _facts(visit: Visit, seen: Situation, row: ResourceRow) -> c.ResourceFacts:
    def unit(connection: sqlite3.Connection) -> tuple[c.ResourceRow, int]:
        theirs = peer_definitions(connection, seen.connector_id).get(row.alias)
        named = gaps.by_resource(connection, seen.connector_id).get(row.alias)
        return shown_row(seen, row, theirs, visit.now_ms), named.notices if named is not None else 0

    shown, gap_count = await visit.site.database.read(unit)
    return c.ResourceFacts(
        connector_id=seen.connector_id,
        role=seen.role,
        row=msgspec.structs.replace(shown, gap_count=gap_count),
        retention_days=row.retention_ms / DAY_MS if row.retention_ms else None,
        tail_count=row.tail,
        held_count=row.held,
        overflow_text=(
            overflow_words(row.overflow or visit.site.settings.outbox_full)
            if seen.is_paired and seen.role is c.Role.SOURCE
            else ""
        ),
    )


def _series_list(asked: Asked, found: _Found) -> c.SeriesList:
    chosen = found.chosen.identity if found.chosen else ""
    return c.SeriesList(
        unit=found.row.unit,
        choices=tuple(
            c.SeriesChoice(
                each.identity,
                each.name,
                asked.url(device=each.identity),
                each.value,
                each.last_ms,
                each.identity == chosen,
            )
            for each in found.series
        ),
        total_count=found.total,
        search=asked.find,
    )


async def _series_parts(visit: Visit, asked: Asked, found: _Found) -> tuple[c.ChartCard | None, c.RawReadings | None]:
    if found.chosen is None:
        return None, None
    series, chosen = found.chosen, replace(asked, device=found.chosen.identity)
    folded = await charts.read_folded(visit.site.database, series.series_id, asked.from_ms, asked.to_ms)
    holes = await visit.site.database.read(
        lambda c: gaps.series_gaps(c, asked.connector_id, series.identity, asked.alias, asked.from_ms, asked.to_ms)
    )
    damaged = await visit.site.database.read(
        lambda c: history_damage.spans(c, series.series_id, asked.from_ms, asked.to_ms)
    )
    return _chart(visit, found.row, series, folded, holes, damaged), await _raw(visit, chosen, found.row, series)


# --- the chart --------------------------------------------------------------------------------------------------------


class _Drawing(msgspec.Struct):
    """What static/js/chart.js draws."""

    from_ms: int
    to_ms: int
    unit: str
    points: list[charts.Point]
    states: list[tuple[int, int, str]]
    gaps: list[tuple[int, int, str]]


def _chart(
    visit: Visit,
    row: ResourceRow,
    series: SeriesState,
    folded: Folded,
    gaps: list[SeriesGap],
    damaged: list[tuple[int, int]],
) -> c.ChartCard:
    is_number = row.format == "number"
    days = visit.site.settings.retention_days
    width_ms = charts.slice_ms(folded.from_ms, folded.to_ms, _TABLE_SLICES)
    drawing = _Drawing(
        folded.from_ms,
        folded.to_ms,
        row.unit,
        charts.points(folded.slices, gaps) if is_number else [],
        [] if is_number else _states(folded, min(folded.to_ms, visit.now_ms), gaps),
        [(gap.first_ms, gap.last_ms, cause_words(gap.cause, days)) for gap in gaps],
    )
    return c.ChartCard(
        device=series.identity,
        unit=row.unit,
        is_number=is_number,
        data=msgspec.json.encode(drawing).decode(),
        summary=_summary(row, folded, gaps),
        note=_note(folded, damaged),
        slices=tuple(
            c.ChartSlice(
                each.first_ms,
                each.last_ms,
                None if folded.is_sampled else each.count,
                each.low if is_number else None,
                each.high if is_number else None,
                each.last,
            )
            for each in charts.coarser(folded.slices, folded.from_ms, width_ms)
        ),
        gaps=tuple(c.ChartGap(cause_words(gap.cause, days), gap.first_ms, gap.last_ms, gap.count) for gap in gaps),
        from_ms=folded.from_ms,
        to_ms=folded.to_ms,
        has_readings=bool(folded.slices),
    )


def _states(folded: Folded, to_ms: int, gaps: list[SeriesGap]) -> list[tuple[int, int, str]]:
    return [
        (first_ms, last_ms, "several" if value is charts.SEVERAL else formats.value(value))
        for first_ms, last_ms, value in charts.bands(folded.slices, to_ms, gaps)
    ]


def _note(folded: Folded, damaged: list[tuple[int, int]]) -> str:
    return " ".join(words for words in (_damage_note(damaged), _sampling_note(folded)) if words)


def _damage_note(damaged: list[tuple[int, int]]) -> str:
    if not damaged:
        return ""
    first_ms, last_ms = min(span[0] for span in damaged), max(span[1] for span in damaged)
    return (
        f"Readings between {formats.iso(first_ms)} and {formats.iso(last_ms)} are left out: the disk gave them back damaged."
        " See Repairs."
    )


def _sampling_note(folded: Folded) -> str:
    if not folded.is_sampled:
        return ""
    return (
        f"There are more readings than are read at once: of each of {formats.count(charts.SLICES_MAX)} slices,"
        f" the first {charts.SAMPLED_PER_SLICE} are drawn. Choose a shorter range to see every one."
    )


def _summary(row: ResourceRow, folded: Folded, gaps: list[SeriesGap]) -> str:
    """Say in a sentence or two what the chart shows, for those who do not see it."""
    if not folded.slices:
        return "No reading in this range." + (_gap_words(len(gaps)) if gaps else "")
    unit = f" {row.unit}" if row.unit else ""
    count = "Very many" if folded.is_sampled else formats.count(folded.count)
    noun = "reading" if folded.count == 1 else "readings"
    last = formats.value(folded.slices[-1].last)
    if row.format == "number":
        low = formats.value(min(each.low for each in folded.slices))
        high = formats.value(max(each.high for each in folded.slices))
        words = f"{count} {noun}, from {low} to {high}{unit}; the last is {last}{unit}."
    else:
        words = f"{count} {noun}; the last is {plain(last)}."
    return words + (_gap_words(len(gaps)) if gaps else "")


def _gap_words(count: int) -> str:
    return f" {count} {'gap is' if count == 1 else 'gaps are'} shaded."


# --- raw readings -----------------------------------------------------------------------------------------------------


async def _raw(visit: Visit, asked: Asked, row: ResourceRow, series: SeriesState) -> c.RawReadings:
    before_ms = asked.to_ms if asked.before_ms is None else min(asked.before_ms, asked.to_ms)
    rows = await visit.site.database.read(
        lambda c: history.latest(c, series.series_id, RAW_ROWS + 1, asked.from_ms, before_ms)
    )
    shown = rows[-RAW_ROWS:]
    is_first = asked.before_ms is None
    return c.RawReadings(
        unit=row.unit,
        rows=tuple(c.RawReading(at_ms, value) for at_ms, value in reversed(shown)),
        zone_ms=asked.to_ms,
        newest_url=None if is_first else asked.url() + "#raw-readings",
        older_url=asked.url(before=str(shown[0][0])) + "#raw-readings" if len(rows) > RAW_ROWS else None,
        csv_url=asked.url(paths.RESOURCE_EXPORT, find="", format="csv"),
        json_url=asked.url(paths.RESOURCE_EXPORT, find="", format="json"),
    )


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    desk.streams["resource"] = live
    return [desk.show(paths.RESOURCE, show)]
