"""The reference of the API, readable: drawn from the same document that programs get."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from connector.api.openapi import resolved
from connector.api.routing import DOCUMENT_PATH, document
from connector.pages.frame import Desk, Visit
from web import contexts as c
from web import paths


async def show(visit: Visit) -> Response:
    """Answer the page."""
    described = document()
    topics: dict[str, list[c.ApiOperation]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            topics[operation["tags"][0]].append(_operation(method.upper(), path, operation))
    page = c.ApiReferencePage(
        shell=await visit.shell(c.Section.API_KEY),
        topics=tuple(c.ApiTopic(name, tuple(operations)) for name, operations in topics.items()),
        types=tuple(_type(name, schema) for name, schema in sorted(described["components"]["schemas"].items())),
        document_url=DOCUMENT_PATH,
    )
    return visit.respond(page)


def _operation(method: str, path: str, described: dict[str, Any]) -> c.ApiOperation:
    good = next(answer for status, answer in described["responses"].items() if status < "300")
    whole = document()
    return c.ApiOperation(
        operation_id=described["operationId"],
        method=method,
        path=path,
        summary=described["summary"],
        description=described["description"],
        parameters=tuple(_parameter(resolved(whole, parameter)) for parameter in described["parameters"]),
        body=_content(described.get("requestBody", {})),
        answer=_content(good),
        refusals=tuple(
            (status, resolved(whole, answer)["description"].partition(": ")[2])
            for status, answer in described["responses"].items()
            if status >= "400"
        ),
    )


def _parameter(described: dict[str, Any]) -> c.ApiField:
    otherwise = described["schema"].get("default")
    says = described["description"] + (f" (otherwise {otherwise})" if otherwise is not None else "")
    return c.ApiField(
        described["name"], _kind(described["schema"]), says, described["in"], described.get("required", False)
    )


def _content(described: dict[str, Any]) -> str:
    kinds = described.get("content", {})
    return ", or ".join(
        _kind(content["schema"]) if media == "application/json" else media for media, content in kinds.items()
    )


def _type(name: str, schema: dict[str, Any]) -> c.ApiType:
    required = schema.get("required", [])
    fields = tuple(
        c.ApiField(field, _kind(kind), kind.get("description", ""), is_required=field in required)
        for field, kind in schema.get("properties", {}).items()
    )
    if "prefixItems" in schema:
        fields = tuple(c.ApiField(f"[{at}]", _kind(kind)) for at, kind in enumerate(schema["prefixItems"]))
    return c.ApiType(_shown(name), " ".join(schema.get("description", "").split()), fields)


def _kind(schema: dict[str, Any]) -> str:
    """Return a type in words."""
    if "$ref" in schema:
        return _shown(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(str(value) or "(empty)" for value in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(_kind(part) for part in schema[word])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(_kind(part) for part in schema["prefixItems"]) + "]"
        case "array":
            return f"list of {_kind(schema.get('items', {}))}"
        case "object":
            return "object"
        case None:
            return "any"
        case kind:
            return str(kind)


def _shown(name: str) -> str:
    """Return a type's name as it reads best: Page_Gap_ is Page of Gap."""
    return re.sub(r"^Page_(\w+)_$", r"Page of \1", name)


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of this page."""
    return [desk.show(paths.API_REFERENCE, show)]
