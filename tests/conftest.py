"""How tests share the cores: those of one file stay together, as they share a stage; the longest files begin first."""

from __future__ import annotations

import os
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Files of half a minute and more, the longest first: what begins last should end soon. Short of them, order is free.
LONGEST: Final = (
    "tests/test_chaos.py",
    "tests/browser/test_accessibility.py",
    "tests/e2e/test_streaming.py",
    "tests/web/test_in_browser.py",
    "tests/test_command_line.py",
    "tests/browser/test_pairing.py",
    "tests/connector/test_pages_paired.py",
    "tests/e2e/test_hub.py",
    "tests/e2e/test_pairing_crashes.py",
    "tests/browser/test_outages.py",
    "tests/browser/test_live.py",
    "tests/docs/test_commands.py",
    "tests/browser/test_first_run.py",
    "tests/install/test_three_namespaces.py",
    "tests/e2e/test_expiry.py",
    "tests/simulation/test_seeds.py",
    "tests/core/test_two_way_edits.py",
    "tests/core/test_pairing.py",
)
# Of these, tests may run in different processes.
SHARING_NOTHING: Final = frozenset(
    {"tests/simulation/test_seeds.py", "tests/core/test_two_way_edits.py", "tests/core/test_pairing.py"}
)


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers for each core: about half of all time is waited for links, daemons and the browser."""
    return 2 * len(os.sched_getaffinity(0))


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each process whole files, so that what a file or a session sets up is there once.

    xdist's own groups (`--dist loadgroup`) do nothing with pytest 9.2, without a word: pytest-dev/pytest-xdist#1386.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if path in SHARING_NOTHING else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Return what hands the tests out."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.location[0], len(LONGEST)))
