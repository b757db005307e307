"""The list of deliberate bugs fits the code, and the hunt catches one and lets honest code pass."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.bugs import Bug, Stale, all_bugs
from tests.mutants.hunt import hunt

BUGS = all_bugs()


def test_there_are_thirty_bugs_of_different_names() -> None:
    assert len(BUGS) >= 30
    assert len({bug.name for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_changes_what_python_still_reads(bug: Bug) -> None:
    before, after = bug.source().read_text(), bug.mutated()

    assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after))


def test_a_bug_whose_text_has_gone_is_called_stale() -> None:
    with pytest.raises(Stale, match="gone: its text is 0 times"):
        Bug("gone", "shared/core", "", "text that nobody wrote", "pass").source()


def test_a_bug_is_caught_in_a_copy_and_the_sources_stay_as_they_are() -> None:
    bug = next(bug for bug in BUGS if bug.name == "acknowledged_up_to")
    before = bug.source().read_text()

    found = hunt(bug, seeds=40)

    assert found.caught_by == "seeds"
    assert bug.source().read_text() == before
