"""The lists of deliberate bugs fit the code and its tests; the hunt catches one, and only by what passes without it."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from tests.mutants.bugs import TREE, Bug, Stale, all_bugs
from tests.mutants.hunt import honest_failure, hunt
from tests.mutants.tree import Tree

BUGS = all_bugs()


def test_there_are_a_hundred_bugs_of_different_names() -> None:
    assert len(BUGS) >= 100
    assert len({bug.name for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_changes_what_python_still_reads(bug: Bug) -> None:
    assert _meaning(bug.source().read_text()) != _meaning(bug.mutated())


@functools.cache
def _meaning(source: str) -> str:
    return ast.dump(ast.parse(source))


def test_each_test_that_is_to_catch_a_bug_is_there() -> None:
    missing = [(bug.name, test) for bug in BUGS for test in bug.tests if not _is_there(test)]

    assert not missing


def _is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    if not (TREE / path).is_file():
        return False
    return not name or f"def {name.partition('[')[0]}(" in (TREE / path).read_text()


def test_a_bug_whose_text_has_gone_is_called_stale() -> None:
    with pytest.raises(Stale, match="gone: its text is 0 times"):
        Bug("gone", "shared/core", "", "text that nobody wrote", "pass").source()


def test_a_bug_is_caught_in_a_copy_which_is_honest_again_afterwards(tmp_path: Path) -> None:
    bug = next(bug for bug in BUGS if bug.name == "acknowledged_up_to")
    before = bug.source().read_text()
    tree = Tree(tmp_path / "tree")

    found = hunt(bug, tree, seeds=40)

    assert found.caught_by == "seeds"
    assert bug.source().read_text() == bug.source(tree.folder).read_text() == before


def test_a_bug_is_not_called_caught_by_a_test_that_fails_without_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree")
    (tree.folder / "tests" / "test_failing.py").write_text("def test_it() -> None:\n    assert False\n")
    bug = Bug("any", "shared/core", "", "x", "y", ["tests/test_failing.py::test_it"])

    assert honest_failure([bug], tree, processes=1).startswith("named tests: ")
