"""Hunting one bug: what is to catch it is run in a copy of the sources that has it, the cheapest first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.mutants.bugs import Bug
from tests.mutants.tree import Tree

_STORIES: Final = ("tests/simulation/test_scenarios.py", "tests/simulation/test_clocks.py")
_CORE: Final = ("tests/core", "--ignore=tests/core/test_two_way_edits.py")
# Seeds before anything longer: they take as much processor time as a test or two.
_FEW_SEEDS: Final = 25
# Many times what an honest run takes beside another one.
_TIMEOUT_S: Final = 600
# What a bug does that no longer fits the code around it: it would be caught by anything, and prove nothing.
_NO_BUG: Final = ("NameError", "UnboundLocalError", "ImportError", "keyword argument", "positional argument")
WAYS: Final = ("tests", "seeds", "stories", "core")


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of one bug. `caught_by`: tests (those named with it), seeds, stories or core; empty where it lives."""

    name: str
    caught_by: str
    seconds: float
    word: str


def hunt(bug: Bug, tree: Tree, seeds: int) -> Hunt:
    """Run the tests named with the bug, seeds, stories and tests of the core until one of them fails. Raises Stale."""
    began_s = time.perf_counter()
    with tree.having(bug):
        for caught_by, arguments in _steps(bug, seeds):
            if word := tree.failure(arguments, timeout_s=_TIMEOUT_S):
                if any(sign in word for sign in _NO_BUG):
                    return Hunt(bug.name, "", round(time.perf_counter() - began_s, 1), f"its text does not fit: {word}")
                return Hunt(bug.name, caught_by, round(time.perf_counter() - began_s, 1), word)
    return Hunt(bug.name, "", round(time.perf_counter() - began_s, 1), "")


def honest_failure(bugs: Sequence[Bug], tree: Tree, processes: int) -> str:
    """Run without any bug what is to catch them, all named tests together; return the word of a failure, or nothing.

    Afterwards the copy has everything compiled.
    """
    named = sorted({test for bug in bugs for test in bug.tests})
    steps = [
        ("named tests", _pytest(*named, processes=processes)),
        ("seeds", _seeds(0, _FEW_SEEDS)),
        ("stories and core", _pytest(*_STORIES, *_CORE, processes=processes)),
    ]
    for way, arguments in steps if named else steps[1:]:
        if word := tree.failure(arguments, timeout_s=_TIMEOUT_S + 10.0 * len(named), compiles=True):
            return f"{way}: {word}"
    return ""


def _steps(bug: Bug, seeds: int) -> Iterator[tuple[str, Sequence[str]]]:
    few = min(seeds, _FEW_SEEDS)
    if bug.tests:
        yield "tests", _pytest(*bug.tests)
    yield "seeds", _seeds(0, few)
    yield "stories", _pytest(*_STORIES)
    yield "core", _pytest(*_CORE)
    yield "seeds", _seeds(few, seeds)


def _pytest(*tests: str, processes: int = 1) -> Sequence[str]:
    return ("-m", "pytest", "-x", "-q", f"-n{processes if processes > 1 else 0}", "-p", "no:cacheprovider", *tests)


def _seeds(first: int, last: int) -> Sequence[str]:
    return ("-m", "tests.mutants.first_failure", str(first), str(last))
