"""What documents show of the code is what the code says; `python -m tests.docs.draw` brings them up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.tables import Table
from tests.docs import drawings
from tests.docs.pages import ROOT, documents, drawn

_PARTS = {name: (path, body) for path in documents() for name, body in drawn(path.read_text(encoding="utf-8")).items()}


@pytest.mark.parametrize("name", sorted(drawings.parts()))
def test_what_is_drawn_from_the_code_is_up_to_date(name: str) -> None:
    assert name in _PARTS, f"no document shows {name}"
    path, body = _PARTS[name]
    assert body == drawings.parts()[name], f"{path.name} is out of date: python -m tests.docs.draw"


def test_nothing_is_marked_as_drawn_that_nobody_draws() -> None:
    assert _PARTS.keys() == drawings.parts().keys()


def test_every_state_machine_of_the_core_has_a_diagram() -> None:
    declared = drawings.machines_in(ROOT / "shared" / "core")
    assert {table.name for table in drawings.tables()} == {"pairing window", "pair", "link", "parting", "replay"}
    assert declared == {"window", "completion", "link_state", "parting", "replay_job"}


@pytest.mark.parametrize("table", drawings.tables(), ids=lambda table: table.name)
def test_a_diagram_shows_every_move(table: Table) -> None:
    lines = table.mermaid().splitlines()
    assert len(lines) == 2 + len(table.moves)
    assert lines[1].endswith(table.start.value)


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.name)
def test_a_document_stays_within_its_kind(page: Path) -> None:
    """Drawn parts are closed, so that nothing behind one is taken for a part of it."""
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- drawn: ") == text.count("<!-- /drawn -->")
    assert text.count("<!-- figures -->") == text.count("<!-- /figures -->")
