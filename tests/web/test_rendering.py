"""Every template has a typed context, every context a sample, and no sample makes an unsafe or broken page."""

import re
from collections import Counter
from enum import Enum
from html.parser import HTMLParser

import pytest
from msgspec import Struct
from msgspec.structs import replace

from shared.core.health import FlowState
from tests.web import samples
from tests.web.samples.frame import CONNECTED, NOT_PAIRED, NOW_MS, STALLED
from tests.web.samples.overview import OVERVIEW
from web import contexts, rendering, static_files
from web.contexts.base import TEMPLATES, is_fragment, template_of
from web.rendering import Pages, WrongContextError
from web.viewer import Viewer

PAGES = Pages()
VIEWER = Viewer(NOW_MS)
EVERY_CONTEXT = [each for page in samples.PAGES.values() for each in samples.contexts_within(page)]
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</title><svg onload=alert(1)>",
    "<hx-partial hx-target='body'>x</hx-partial>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u0000\ud7ff",
)


class Reader(HTMLParser):
    """Collect tags with their attributes and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def render(context: object) -> str:
    return PAGES.render(template_of(context), context, VIEWER)


def test_every_template_has_exactly_one_context() -> None:
    found = {path.name for path in rendering.TEMPLATES_FOLDER.glob("*.html")}
    assert found == set(TEMPLATES.values())


def test_every_context_has_a_sample() -> None:
    assert {type(each) for each in EVERY_CONTEXT} == set(TEMPLATES)


@pytest.mark.parametrize("name", samples.PAGES)
def test_page_renders(name: str) -> None:
    page = Reader(render(samples.PAGES[name]))
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert [tag for tag, _ in page.tags].count("main") == 1


def test_every_fragment_carries_its_element_id_at_its_root() -> None:
    for each in EVERY_CONTEXT:
        if is_fragment(each):
            root = Reader(render(each)).tags[0]
            assert root[1].get("id") == each.element_id, type(each)  # type: ignore[attr-defined]


def test_fragment_is_the_same_markup_alone_and_in_its_page() -> None:
    assert OVERVIEW.backlog
    assert render(OVERVIEW.backlog) in render(OVERVIEW)


@pytest.mark.parametrize("name", samples.PAGES)
def test_page_needs_no_inline_script_or_style(name: str) -> None:
    for tag, attributes in Reader(render(samples.PAGES[name])).tags:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [each for each in attributes if each.startswith(("on", "hx-on", "hx-vals")) or each == "style"]
        assert not (attributes.get("href") or "").startswith("javascript:")


@pytest.mark.parametrize("name", samples.PAGES)
def test_page_has_no_id_twice_and_every_label_finds_its_field(name: str) -> None:
    tags = Reader(render(samples.PAGES[name])).tags
    ids = Counter(attributes["id"] for _, attributes in tags if "id" in attributes)
    assert not [each for each, count in ids.items() if count > 1]
    for tag, attributes in tags:
        if tag == "label":
            assert attributes["for"] in ids
        for each in (attributes.get("aria-describedby") or "").split():
            assert each in ids


def test_every_icon_exists_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="([^"]+)"', (static_files.STATIC_FOLDER / "icons.svg").read_text()))
    for page in samples.PAGES.values():
        used = re.findall(r'icons\.svg\?v=[0-9a-f]+#([^"]+)"', render(page))
        assert used
        assert set(used) <= known


def poisoned(value: object, poison: str) -> object:
    """Return a copy of a context with the poison in every free text."""
    if isinstance(value, Enum) or value is None:
        return value
    if isinstance(value, str):
        return value + poison
    if isinstance(value, tuple):
        return tuple(poisoned(each, poison) for each in value)
    if isinstance(value, dict):
        return {key: poisoned(each, poison) for key, each in value.items()}
    if isinstance(value, Struct):
        return replace(value, **{name: poisoned(getattr(value, name), poison) for name in value.__struct_fields__})
    return value


@pytest.mark.parametrize("poison", HOSTILE)
@pytest.mark.parametrize("name", samples.PAGES)
def test_hostile_text_stays_text(name: str, poison: str) -> None:
    clean, dirty = samples.PAGES[name], poisoned(samples.PAGES[name], poison)
    before, after = Reader(render(clean)), Reader(render(dirty))
    # The same elements with the same attribute names: whatever the text says, it made none of its own.
    shapes = [
        {(tag, *sorted(name for name in attributes if name != "selected")) for tag, attributes in page.tags}
        for page in (before, after)
    ]
    grown = {shape for shape in shapes[1] - shapes[0] if shape[0] in {"script", "img", "svg", "hx-partial", "style"}}
    assert not {each for each in grown if each[0] != "svg"}
    for _, attributes in after.tags:
        assert not [each for each in attributes if each.startswith("on")]
        for link in ("href", "action", "src"):
            assert not (attributes.get(link) or "").strip().lower().startswith("javascript:")


def test_wrong_context_is_refused() -> None:
    with pytest.raises(WrongContextError):
        PAGES.render("gaps.html", OVERVIEW, VIEWER)
    with pytest.raises(WrongContextError):
        PAGES.fragments((OVERVIEW,), VIEWER)


def test_fragments_come_by_element_id() -> None:
    html = PAGES.fragments((OVERVIEW.repairs, OVERVIEW.pairing), VIEWER)
    assert list(html) == ["repairs", "pairing-card"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (CONNECTED, "connected via hub, 12 ms · canary 24 ms · oldest waits 4 s"),
        (contexts.LinkStatus(FlowState.RECONNECTING, retry_in_s=4), "reconnecting in 4 s"),
        (contexts.LinkStatus(FlowState.RECONNECTING, retry_in_s=0.2), "reconnecting"),
        (STALLED, "stalled: nothing applied for 3 min · oldest waits 1 h"),
        (contexts.LinkStatus(FlowState.HUB_SILENT, silent_for_s=4), "no answer from hub for 4 s"),
        (
            contexts.LinkStatus(FlowState.PEER_SILENT, silent_for_s=7),
            "hub reached, no answer from the peer for 7 s",
        ),
        (contexts.LinkStatus(FlowState.OFFLINE, since_ms=NOW_MS), "off line since 14:02 UTC"),
        (
            contexts.LinkStatus(FlowState.PEER_OFFLINE, since_ms=NOW_MS),
            "hub reached, peer off line since 14:02 UTC",
        ),
        (NOT_PAIRED, "not paired"),
        (contexts.LinkStatus(FlowState.CONNECTING), "connecting to hub"),
        (contexts.LinkStatus(FlowState.DISABLED), "disabled"),
    ],
)
def test_link_pill_says_its_state_in_words(status: contexts.LinkStatus, words: str) -> None:
    assert Reader(render(contexts.LinkPill(status))).text.strip() == words


def test_the_pill_of_the_whole_site_names_the_connector_that_fares_worst_and_leads_there() -> None:
    page = Reader(render(contexts.LinkPill(STALLED, "Riverside", "T4W8X")))
    assert page.text.strip().startswith("Riverside: stalled: nothing applied for 3 min")
    assert ("a", {"class": "pill bad", "href": "/connectors/T4W8X"}) in page.tags
    assert not Reader(render(contexts.LinkPill(None))).text.strip()


def test_unknown_variable_in_a_template_is_an_error() -> None:
    assert PAGES._environment.undefined.__name__ == "StrictUndefined"
    assert PAGES._environment.autoescape is True
