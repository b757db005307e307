"""What the documents take from the code: diagrams, settings, refusals, routes, bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from starlette.routing import Route

from connector.access import Access
from connector.api import api_routes
from connector.settings import SETTINGS_NAME as SITE_NAME
from connector.settings import SiteSettings
from connector.site import Site
from hub.settings import SETTINGS_NAME as HUB_NAME
from hub.settings import HubSettings
from shared import messages
from shared.core import completion, entries, link_state, window
from shared.core.tables import Table
from shared.errors import REFUSALS
from shared.settings import describe
from tests.docs.pages import ROOT


def tables() -> list[Table[Any, Any]]:
    """Return every state machine of the core."""
    found = []
    for module in (window, completion, link_state):
        found += [value for value in vars(module).values() if isinstance(value, Table)]
    return found


def diagram(table: Table[Any, Any]) -> str:
    """Draw one machine, fenced so that viewers of Markdown draw it."""
    return f"```mermaid\n{table.mermaid()}\n```\n"


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, body)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def settings(kind: type[object], name: str) -> str:
    """Return the settings of a daemon."""
    body = []
    for one in describe(kind, name=name):
        default = one.default
        shown = "empty" if default in ("", None) else str(default).lower() if isinstance(default, bool) else str(default)
        flag = one.name.replace("_", "-")
        body.append((f"`{one.name}`", one.help, f"`{shown}`", one.allowed, f"`--{flag}`", f"`{one.variable}`"))
    return rows(("setting", "what it does", "default", "allowed, unit", "flag", "variable"), body)


def refusals() -> str:
    """Return every refusal."""
    body = [
        (f"`{code}`", str(status), "yes" if retryable else "no", sentence)
        for code, (status, retryable, sentence) in REFUSALS.items()
    ]
    return rows(("code", "HTTP", "retry helps", "sentence"), body)


def site_routes() -> list[tuple[str, str]]:
    """Return (method, path) of every route of a site's API."""
    # Building the table touches neither of the two.
    routes = cast("list[Route]", api_routes(cast(Site, None), cast(Access, None)))
    return [(method, route.path) for route in routes for method in sorted((route.methods or set()) - {"HEAD"})]


def routes_and_actions() -> str:
    """Return the routes with the action that each needs, as the source says them."""
    actions = _actions((ROOT / "connector" / "api.py").read_text(encoding="utf-8"))
    found = site_routes()
    if len(actions) != len(found):
        raise AssertionError(f"{len(found)} routes, {len(actions)} actions in connector/api.py")
    body = [
        (f"`{method}`", f"`{path.replace(':path', '')}`", action)
        for (method, path), action in zip(found, actions, strict=True)
    ]
    return rows(("method", "path", "action"), body)


def _actions(source: str) -> list[str]:
    return re.findall(r'^\s+\((?:one(?: \+ )?)?(?:"[^"]*")?, "[A-Z]+", "([a-z]+)", self\._\w+\),$', source, re.MULTILINE)


def _structs(module: object, keep: Callable[[type[msgspec.Struct]], bool]) -> list[type[msgspec.Struct]]:
    return [
        value for value in vars(module).values() if isinstance(value, type) and issubclass(value, msgspec.Struct) and keep(value)
    ]


def _fields(kind: type[msgspec.Struct]) -> str:
    texts = []
    for field in msgspec.structs.fields(kind):
        text = field.type if isinstance(field.type, str) else _type_name(field.type)
        texts.append(f"`{field.encode_name}`: {text}")
    return ", ".join(texts) or "none"


def _type_name(kind: Any) -> str:
    if isinstance(kind, type) and not getattr(kind, "__args__", None):
        return {"bytes": "bin", "int": "int", "str": "text", "bool": "bool"}.get(kind.__name__, kind.__name__)
    text = str(kind).replace("typing.", "")
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)
    return text.replace("str", "text").replace("bytes", "bin").replace("NoneType", "nil").replace("None", "nil")


def _first_line(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def frames() -> str:
    """Return every frame of a link, with its fields in order."""
    kinds = _structs(messages, lambda kind: issubclass(kind, messages.Frame) and kind is not messages.Frame)
    return rows(("frame", "fields, in order", "meaning"), [(f"`{k.__name__}`", _fields(k), _first_line(k)) for k in kinds])


def control_entries() -> str:
    """Return every entry of the control log."""
    kinds = _structs(entries, lambda kind: kind.__struct_config__.tag is not None)
    body = [(f"`{kind.__struct_config__.tag}`", _fields(kind), _first_line(kind)) for kind in kinds]
    return rows(("tag", "fields, in order", "meaning"), body)


def parts() -> dict[str, str]:
    """Return everything that is drawn, by the name that documents use."""
    named = {table.name.replace(" ", "-"): diagram(table) for table in tables()}
    return {
        **{f"diagram-{name}": text for name, text in named.items()},
        "settings-hub": settings(HubSettings, HUB_NAME),
        "settings-site": settings(SiteSettings, SITE_NAME),
        "refusals": refusals(),
        "routes-site": routes_and_actions(),
        "frames": frames(),
        "control-entries": control_entries(),
    }


def machines_in(folder: Path) -> set[str]:
    """Return the modules of a folder that declare a table."""
    return {path.stem for path in folder.glob("*.py") if re.search(r"= Table\(", path.read_text(encoding="utf-8"))}


STATE: Final = Enum
