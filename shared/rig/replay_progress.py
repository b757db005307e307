"""How a replay shows how far it is: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from shared.rig.replay import Progress, Report

_LINE_EVERY_S = 5.0


def progress_on(stream: TextIO) -> BarProgress | LineProgress:
    """Return what fits a stream: a bar where a person watches, lines where it is kept."""
    return BarProgress(stream) if stream.isatty() else LineProgress(lambda line: print(line, file=stream, flush=True))


class LineProgress(Progress):
    """A line every few seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last_s = 0.0

    def started(self, report: Report) -> None:
        """Say what begins."""
        self._last_s = time.monotonic()
        self._say(f"Replaying {report.rows:,} readings as {report.device} / {report.resource} into {report.connector}")

    def moved(self, report: Report) -> None:
        """Say how far it is, now and then."""
        now_s = time.monotonic()
        if now_s - self._last_s >= _LINE_EVERY_S:
            self._last_s = now_s
            rate = report.done / max(report.seconds, 1e-6)
            self._say(f"{report.done:,} of {report.rows:,} ({report.done / report.rows:.0%}), {rate:,.0f}/s")

    def said(self, line: str) -> None:
        """Pass it on."""
        self._say(line)

    def close(self) -> None:
        """Nothing to take away."""


class BarProgress(Progress):
    """A bar that moves."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(file=stream),
        )
        self._task: TaskID | None = None

    def started(self, report: Report) -> None:
        """Show the empty bar."""
        self._task = self._bar.add_task(f"{report.device} / {report.resource}", total=report.rows, rate="")
        self._bar.start()

    def moved(self, report: Report) -> None:
        """Move the bar."""
        if self._task is not None:
            rate = f"{report.done / max(report.seconds, 1e-6):,.0f}/s"
            self._bar.update(self._task, completed=report.done, rate=rate)

    def said(self, line: str) -> None:
        """Print above the bar."""
        self._bar.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._task is not None:
            self._bar.stop()


def summary_lines(report: Report) -> list[str]:
    """Say what became of all rows."""
    rate = report.sent / max(report.seconds, 1e-6)
    lines = [
        f"{report.accepted:,} accepted, {report.repeated:,} repeated, {report.refused:,} refused, {report.bad:,} skipped",
        f"{report.sent:,} readings in {report.seconds:.1f} s ({rate:,.0f}/s)",
    ]
    if report.shifted_ms:
        lines.append(f"Times moved by {report.shifted_ms / 1000:,.0f} s")
    return lines
