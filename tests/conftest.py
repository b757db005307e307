"""How tests share the cores: those of one file stay together, as they share a stage; demos take the same usual ports."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group of its file, unless it names one; a group runs on one core, in order."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
