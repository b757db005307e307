"""Links between documents lead somewhere, and files that are named are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, documents, prose

_LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_TEST = re.compile(r"`(test_[a-z0-9_]+)`")
_NAMED = re.compile(r"`((?:shared|hub|connector|web|tests|docs)/[\w./-]+?)`")


def anchors(page: str) -> set[str]:
    """The anchors that viewers make of a page's headings."""
    found = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.name)
def test_links_between_documents_resolve(page: Path) -> None:
    broken = []
    for target in _LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.name)
def test_files_that_a_document_names_are_there(page: Path) -> None:
    named = _NAMED.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_what_the_architecture_names_is_in_the_code() -> None:
    """`Class.method` and `_Class.method`, so that a newcomer finds the rooms where the page says they are."""
    sources = [path for part in ("shared", "hub", "connector", "web") for path in (ROOT / part).rglob("*.py")]
    methods: dict[str, set[str]] = {}
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                inside = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
                methods.setdefault(node.name, set()).update(inside)
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(_?[A-Z]\w+)\.(\w+)`", page)
    assert len(named) > 30
    assert [f"{kind}.{name}" for kind, name in named if name not in methods.get(kind, set())] == []


def test_the_readme_leads_to_every_document() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in documents()[1:] if f"docs/{path.name}" not in readme] == []


@pytest.mark.parametrize("page", documents(), ids=lambda path: path.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")]
    named = set(_TEST.findall(page.read_text(encoding="utf-8")))
    assert not {name for name in named if not any(f"def {name}(" in text for text in files)}
