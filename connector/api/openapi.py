"""The OpenAPI 3.1 document of the API, made from the registry: its types are the document's schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from connector.api.answers import Refusal
from connector.api.operations import JSON, Operation, Query
from shared.errors import REFUSALS

_REF: Final = "#/components/schemas/{name}"
_INTRODUCTION: Final = """\
What the pages of a site can do, for programs. Times are milliseconds since 1970 UTC. Identities of devices and aliases of
resources are percent-encoded in paths, slashes included. A refusal has the HTTP status of its code; `code` is stable.

Lists come in pages: `limit` rows, and `next`, which the next request gives back as `after`. Objects have an `ETag`:
`If-None-Match` saves an answer that has not changed (304), `If-Match` refuses an edit of what has (412)."""


def openapi_document(topics: Sequence[tuple[str, Sequence[Operation]]], prefix: str, release: str) -> dict[str, Any]:
    """Return the document. `topics` are the registry's, `prefix` is where the paths begin."""
    operations = [operation for _, rows in topics for operation in rows]
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for topic, rows in topics:
        for operation in rows:
            paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = _described(
                operation, topic, schemas
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pairhub: API of a site",
            "version": release,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": topic} for topic, _ in topics],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": schemas.responses,
            "parameters": _PATH_PARAMETERS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key, phk_..."}},
        },
    }


class _Schemas:
    """JSON Schema of every type that operations name."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        types: list[Any] = [Refusal]
        for operation in operations:
            types += [operation.body, operation.answer, *(query.kind for query in operation.query)]
        self._types = [kind for kind in types if kind is not None and kind is not bytes]
        self.responses: dict[str, Any] = {}
        found, self.components = msgspec.json.schema_components(self._types, ref_template=_REF)
        self._found = list(found)

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type that an operation names."""
        return {} if kind is bytes else self._found[self._types.index(kind)]

    def refusal(self, status: int, codes: Sequence[str]) -> str:
        """Return the address of the answer that has one of these codes; most operations share them."""
        name = "-".join(codes)
        self.responses[name] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}.",
            "content": {
                JSON: {"schema": {"allOf": [self.of(Refusal), {"properties": {"code": {"enum": list(codes)}}}]}}
            },
        }
        return f"#/components/responses/{name}"


def _described(operation: Operation, topic: str, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [topic],
        "summary": operation.summary,
        "description": _description(operation),
        "x-action": operation.action,
        "parameters": _parameters(operation, schemas),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {
                media: {"schema": schemas.of(operation.body) if media == JSON else {"type": "string"}}
                for media in operation.media
            },
        }
    return described


def _description(operation: Operation) -> str:
    text = " ".join((operation.handler.__doc__ or "").split())
    return f"{text} Needs the action `{operation.action}`."


def _parameters(operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"$ref": f"#/components/parameters/{name}"} for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    parameters += [_query(query, schemas) for query in operation.query]
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": says}
        for name, says in operation.conditions
    ]
    return parameters


_PARTS: Final = {
    "connector_id": "ID of a connector, as XXXX-XXXX",
    "identity": "identity of a device, percent-encoded",
    "alias": "alias of a resource, percent-encoded",
    "key_id": "ID of an API key",
    "subscription_id": "ID of an MQTT subscription",
    "conflict_id": "number of a conflict",
    "replay_id": "ID of a replay",
    "quarantine_id": "number of what is in quarantine",
    "class_name": "class of fields: devices, tags, grants, configuration or values",
}


_PATH_PARAMETERS: Final = {
    name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": says}
    for name, says in _PARTS.items()
}


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document, or what it refers to."""
    if "$ref" not in part:
        return part
    for name in part["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document


def _query(query: Query, schemas: _Schemas) -> dict[str, Any]:
    schema = dict(schemas.of(query.kind))
    if query.otherwise not in ("", None):
        schema["default"] = query.otherwise
    return {"name": query.name, "in": "query", "schema": schema, "description": query.says}


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if operation.answer is None:
        responses: dict[str, Any] = {"204": {"description": "Done."}}
    else:
        good: dict[str, Any] = {"description": "Done.", "content": _contents(operation, schemas)}
        if operation.has_etag:
            good["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses = {"200": good}
    if operation.has_etag and operation.method == "GET":
        responses["304"] = {"description": "Not changed since."}
    by_status: dict[int, list[str]] = {}
    for code in operation.all_errors:
        by_status.setdefault(REFUSALS[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {"$ref": schemas.refusal(status, codes)}
    return responses


def _contents(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    return {
        media: {"schema": schemas.of(operation.answer) if media == JSON else {"type": "string"}}
        for media in operation.answer_media
    }
