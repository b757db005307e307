"""Render pages and fragments from their typed contexts.

    pages = Pages()
    html = pages.render("overview.html", OverviewPage(...), Viewer.of(request, now_ms))

A template sees its context as `page` (a page) or `part` (a fragment), the `viewer`, `paths`, the filters of
`web.formats`, `icon(name)`, `static(file)` and `fragment(context)`, which includes a fragment.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse

from web import formats, pairing_text, paths, static_files
from web.contexts.base import is_fragment, template_of
from web.front_door import html_with_base_path
from web.viewer import Viewer

TEMPLATES_FOLDER = Path(__file__).parent / "templates"


class WrongContextError(TypeError):
    """A template was given a context that belongs to another one: a bug of the caller."""


class Pages:
    """The templates of a program. Make one at start and keep it; it is safe to share."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._environment.globals["fragment"] = self._fragment

    def render(self, template: str, context: object, viewer: Viewer) -> str:
        """Return the HTML of a page or of a fragment; `WrongContextError` where the context is not the template's."""
        return html_with_base_path(self._fill(template, context, viewer), viewer.base_path)

    def _fill(self, template: str, context: object, viewer: Viewer) -> str:
        if template_of(context) != template:
            raise WrongContextError(f"{template} is not filled by {type(context).__name__}")
        name = "part" if is_fragment(context) else "page"
        return self._environment.get_template(template).render({name: context, "viewer": viewer})

    def respond(
        self, context: object, viewer: Viewer, status: int = 200, headers: dict[str, str] | None = None
    ) -> HTMLResponse:
        """Return the context's page or fragment as a response that no cache may keep."""
        html = self.render(template_of(context), context, viewer)
        return HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})

    def fragments(self, parts: tuple[object, ...], viewer: Viewer) -> dict[str, str]:
        """Return the HTML of each fragment by its `element_id`, as `web.updates` wants it."""
        return {_element_id(part): self.render(template_of(part), part, viewer) for part in parts}

    @pass_context
    def _fragment(self, context: Context, part: object) -> Markup:
        # The fragment's own template has escaped everything.
        return Markup(self._fill(template_of(part), part, context["viewer"]))  # noqa: S704


def _element_id(part: object) -> str:
    element_id = getattr(part, "element_id", None)
    if not isinstance(element_id, str):
        raise WrongContextError(f"{type(part).__name__} is no fragment")
    return element_id


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        {
            "bytes": formats.byte_size,
            "count": formats.count,
            "duration": formats.duration,
            "rough": formats.rough_duration,
            "ms": formats.milliseconds,
            "rate": formats.rate,
            "value": formats.value,
            "iso": formats.iso,
            "full_time": _full_time,
            "exact_time": _exact_time,
            "zone_name": _zone_name,
            "short_time": _short_time,
            "day": _day,
            "ago": _ago,
            "points": formats.spark_points,
        }
    )
    environment.globals.update(
        {
            "paths": paths,
            "path": paths.fill,
            "icon": icon,
            "static": static_files.url,
            "pairing_text": pairing_text.write,
        }
    )
    return environment


def icon(name: str, label: str = "") -> Markup:
    """Return one icon of the sprite. With a label it speaks for itself; without, it is hidden from screen readers."""
    spoken = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" {}><use href="{}#{}"/></svg>').format(spoken, static_files.url("icons.svg"), name)


@pass_context
def _full_time(context: Context, at_ms: int) -> Markup:
    return formats.full_time(at_ms, context["viewer"].zone)


@pass_context
def _exact_time(context: Context, at_ms: int) -> Markup:
    return formats.exact_time(at_ms, context["viewer"].zone)


@pass_context
def _zone_name(context: Context, at_ms: int) -> str:
    return formats.zone_label(formats.moment(at_ms, context["viewer"].zone))


@pass_context
def _short_time(context: Context, at_ms: int) -> Markup:
    return formats.short_time(at_ms, context["viewer"].zone, context["viewer"].now_ms)


@pass_context
def _day(context: Context, at_ms: int) -> Markup:
    return formats.day(at_ms, context["viewer"].zone)


@pass_context
def _ago(context: Context, at_ms: int) -> Markup:
    return formats.ago(at_ms, context["viewer"].zone, context["viewer"].now_ms)
