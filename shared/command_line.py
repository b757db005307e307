"""What every command has in common: flags, errors in words, exit codes, and JSON on wish."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import uvloop
from cyclopts import Parameter

from shared.errors import PairhubError
from shared.exit_codes import ExitCode, code_of
from shared.provenance import provenance

T = TypeVar("T")

Json = Annotated[bool, Parameter(help="Print one JSON object instead of text.", negative="")]
DataDir = Annotated[Path | None, Parameter(help="Data directory.")]


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; errors for people become lines and the exit code of the first."""
    with told_in_words(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def told_in_words() -> Iterator[None]:
    """Make lines and an exit code of what stops a command: an error for people, or Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(ExitCode.BROKEN_OFF) from None
    except (PairhubError, BaseExceptionGroup) as error:
        told = _for_people(error)
        for one in told:
            print(f"pairhub: {one}", file=sys.stderr)
        raise SystemExit(code_of(told[0])) from None


def _for_people(error: BaseException) -> list[PairhubError]:
    """Return the errors of ours in a group; anything else in it is a bug and is raised."""
    if isinstance(error, BaseExceptionGroup):
        return [told for part in error.exceptions for told in _for_people(part)]
    if isinstance(error, PairhubError):
        return [error]
    raise error


def print_json(value: object) -> None:
    """Print one JSON value."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), flush=True)


def progress(line: str) -> None:
    """Tell how long work goes on, beside what is printed."""
    print(line, file=sys.stderr, flush=True)


def measured(work: Coroutine[Any, Any, dict[str, Any]], *, json: bool) -> dict[str, Any]:
    """Measure, print what was found and with which code (shared.provenance), and return it."""
    code = provenance()
    found = run_to_end(work) | code
    print_figures(found, json=json)
    return found


def print_figures(found: dict[str, Any], *, json: bool) -> None:
    """Print what was measured."""
    if json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"{name:20} {value}")
