"""`pairhub replay`: post the readings of a CSV file as a device, at the pace of their times, faster, or at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from shared.errors import REFUSALS, PairhubError
from shared.rig.client import ApiClient, ApiRefused
from shared.rig.replay_rows import BadRow, Row, Survey, read_rows, read_value, survey

# One request at once: small enough to show progress, large enough to be quick.
_ROWS_PER_POST: Final = 2_000
# At pace, readings that fall due within this time go together.
_TICK_S: Final = 0.05
_RETRY_S: Final = 1.0
_GIVE_UP_S: Final = 120.0
_NAMED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What to replay, and where to. `speed` multiplies the pace of the file; 0 sends all at once."""

    path: Path
    device: str
    resource: str
    connector: str = ""
    """Empty for the only connector of the site that takes readings."""
    speed: float = 1.0
    shift_to_now: bool = False
    create: bool = False


@dataclass(slots=True)
class Report:
    """What became of the rows. `bad` were never sent; `refused` by the site; both name the line of the file."""

    file: str
    connector: str
    device: str
    resource: str
    rows: int
    shifted_ms: int = 0
    sent: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    bad: int = 0
    seconds: float = 0.0
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Rows that are dealt with."""
        return self.sent + self.bad


class Progress:
    """Hears how far a replay is; does nothing by itself."""

    def started(self, report: Report) -> None:
        """Everything is there; the first reading goes out next."""

    def moved(self, report: Report) -> None:
        """Some rows are dealt with."""

    def said(self, line: str) -> None:
        """Something that a person should read: a bad row, a daemon that is away."""


class Replay:
    """One replay over the public API. `now_ms` is the wall clock."""

    def __init__(
        self, wish: Wish, client: ApiClient, progress: Progress, now_ms: Callable[[], int] | None = None
    ) -> None:
        self._wish = wish
        self._client = client
        self._progress = progress
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._format = ""

    async def run(self) -> Report:
        """Send it all; raises PairhubError where the site refuses as a whole or stays away for two minutes."""
        wish = self._wish
        if wish.speed < 0:
            raise PairhubError("--speed takes 0 (at once) or more.")
        found = await asyncio.to_thread(survey, wish.path)
        if not found.readings:
            raise PairhubError(f"{wish.path} holds no readings: it takes lines of timestamp,value.")
        connector = wish.connector or await self._only_connector()
        await self._prepare(connector, found)
        report = Report(str(wish.path), connector, wish.device, wish.resource, found.rows)
        if wish.shift_to_now:
            # At the pace of the file the first reading is now. Faster, later ones would overtake the clock.
            report.shifted_ms = self._now_ms() - (found.first_ms if wish.speed == 1 else found.last_ms)
        self._progress.started(report)
        started_s = time.monotonic()
        try:
            for rows, due_s in self._portions(found, report):
                wait_s = started_s + due_s - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if rows:
                    await self._send(connector, rows, report)
                report.seconds = round(time.monotonic() - started_s, 3)
                self._progress.moved(report)
        finally:
            report.seconds = round(time.monotonic() - started_s, 3)
        return report

    # --- what has to be there -----------------------------------------------------------------------------------------

    async def _only_connector(self) -> str:
        found = [one for one in await self._client.get("/connectors") if one["role"] != "target"]
        if len(found) != 1:
            named = ", ".join(f"{one['connector_id']} ({one['name']})" for one in found) or "none"
            raise PairhubError(f"Name the connector with --connector. Those that take readings: {named}.")
        return str(found[0]["connector_id"])

    async def _prepare(self, connector: str, found: Survey) -> None:
        """Look for device and resource; make them where that was asked for."""
        wish, here = self._wish, f"/connectors/{quote(connector, safe='')}"
        try:
            resources = {one["alias"]: one for one in await self._client.rows(here + "/resources")}
        except ApiRefused as refused:
            if refused.code != "forbidden" or wish.create:
                raise
            self._format = found.format  # a device's key may not look; the site judges each value
            return
        if wish.resource not in resources or resources[wish.resource].get("match") == "missing_here":
            if not wish.create:
                raise PairhubError(
                    f"There is no resource '{wish.resource}' in {connector}. Create it, or add --create."
                )
            await self._client.post(here + "/resources", {"alias": wish.resource, "format": found.format})
            self._format = found.format
        else:
            self._format = str(resources[wish.resource]["format"])
        if wish.create:
            try:
                await self._client.post(here + "/devices", {"identity": wish.device})
            except ApiRefused as refused:
                if refused.code != "exists":
                    raise

    # --- rows in time -------------------------------------------------------------------------------------------------

    def _portions(self, found: Survey, report: Report) -> Iterator[tuple[list[tuple[int, bytes]], float]]:
        """Cut the file into what goes together; yield ((line, JSON) of each, seconds after the start when it is due)."""
        speed = self._wish.speed
        portion: list[tuple[int, bytes]] = []
        due_s = 0.0
        for row in read_rows(self._wish.path):
            made = row if isinstance(row, BadRow) else self._line(row, report.shifted_ms)
            if isinstance(made, BadRow):
                self._name(made, report)
                continue
            assert isinstance(row, Row)
            # A row out of order is due with the one before it.
            row_due_s = max(due_s, (row.at_ms - found.first_ms) / 1000 / speed) if speed else 0.0
            if portion and (len(portion) >= _ROWS_PER_POST or row_due_s > due_s + _TICK_S):
                yield portion, due_s
                portion = []
            if not portion:
                due_s = row_due_s
            portion.append((row.line, made))
        yield portion, due_s

    def _line(self, row: Row, shifted_ms: int) -> bytes | BadRow:
        try:
            value = read_value(row.text, self._format)
        except ValueError as error:
            return BadRow(row.line, str(error))
        return msgspec.json.encode(
            {
                "device": self._wish.device,
                "resource": self._wish.resource,
                "timestamp": row.at_ms + shifted_ms,
                "value": value,
            }
        )

    def _name(self, bad: BadRow, report: Report) -> None:
        report.bad += 1
        if len(report.bad_rows) < _NAMED_MAX:
            report.bad_rows.append({"line": bad.line, "why": bad.why})
            self._progress.said(f"line {bad.line} skipped: {bad.why}")

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send(self, connector: str, rows: list[tuple[int, bytes]], report: Report) -> None:
        """Post one portion until the site has answered for it; what was stored already comes back as repeated."""
        path = f"/connectors/{quote(connector, safe='')}/readings"
        told = await self._post(path, b"\n".join(text for _, text in rows))
        report.sent += len(rows)
        for count in ("accepted", "repeated", "refused"):
            setattr(report, count, getattr(report, count) + told[count])
        for refusal in told["refusals"]:
            if len(report.refusals) >= _NAMED_MAX:
                break
            line = rows[refusal["line"] - 1][0]
            report.refusals.append({"line": line, "code": refusal["code"], "message": refusal["message"]})
            self._progress.said(f"line {line} refused: {refusal['message']}")

    async def _post(self, path: str, body: bytes) -> Any:
        """Post until there is an answer; raises PairhubError for a refusal that stays, and after two minutes."""
        give_up_s = time.monotonic() + _GIVE_UP_S
        while True:
            try:
                return await self._client.post(path, body)
            except PairhubError as error:
                if isinstance(error, ApiRefused) and not (error.status >= 500 or _retryable(error.code)):
                    raise
                if time.monotonic() >= give_up_s:
                    raise
                self._progress.said(f"{error} Trying again.")
                await asyncio.sleep(_RETRY_S)


def _retryable(code: str) -> bool:
    return code in REFUSALS and REFUSALS[code][1]
