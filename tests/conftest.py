"""How tests share the cores: those of one file stay together, as they share a stage; the longest files begin first."""

from __future__ import annotations

import os
from typing import Final

import pytest

# Files of half a minute and more, the longest first: what begins last should end soon. Short of them, order is free.
LONGEST: Final = (
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
)


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers for each core: about half of all time is waited for links, daemons and the browser."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group of its file, unless it names one; a group runs in one process, in order."""
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.location[0], len(LONGEST)))
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
