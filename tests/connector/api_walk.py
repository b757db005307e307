"""A live site asked through its registry: each answer is held against the OpenAPI document, whatever is asked."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
from jsonschema import Draft202012Validator

from connector.api.openapi import resolved
from connector.api.operations import JSON, Operation
from connector.api.registry import OPERATIONS
from connector.api.routing import PREFIX, document
from connector.serve import RunningSite, running_site
from connector.settings import SiteSettings
from shared.trust import trust_for
from tests.connector.site_stage import SetClock


class Walk:
    """Asks one site. `touched` are the operations asked, `succeeded` those that did what they are for."""

    def __init__(self, running: RunningSite, http: httpx2.AsyncClient) -> None:
        self.running = running
        self.http = http
        self.touched: set[str] = set()
        self.succeeded: set[str] = set()
        self._operations = {operation.name: operation for operation in OPERATIONS}
        self._document = _closed(copy.deepcopy(document()))

    async def ask(
        self,
        name: str,
        body: Any = None,
        *,
        status: int = 0,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        **parts: str,
    ) -> httpx2.Response:
        """Ask one operation and check its answer; `status` 0 means any good one, -1 any at all."""
        operation = self._operations[name]
        path = re.sub(r"\{(\w+)\}", lambda part: quote(parts[part[1]], safe=""), operation.path)
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        answer = await self.http.request(
            operation.method, PREFIX + path, content=content, params=query, headers=headers
        )
        self.touched.add(name)
        decoded = answer.json() if answer.content and JSON in answer.headers.get("content-type", "") else answer.text
        assert self.problems(operation, answer.status_code, decoded) == [], f"{name}: {answer.text[:500]}"
        wanted = answer.status_code if status < 0 else status
        assert (answer.status_code < 400) if status == 0 else (answer.status_code == wanted), answer.text
        if answer.status_code < 400:
            self.succeeded.add(name)
            etag = answer.headers.get("etag")
            assert (etag is not None) == (operation.has_etag and operation.answer is not None), name
        return answer

    def problems(self, operation: Operation, status: int, body: Any) -> list[str]:
        """Return how an answer differs from what the document says."""
        described = self._document["paths"][PREFIX + operation.path][operation.method.lower()]["responses"]
        response = described.get(str(status))
        if response is None:
            return [f"{status} is not described"]
        content = resolved(self._document, response).get("content")
        if content is None:
            return [] if body in ("", None) else ["there is a body"]
        schema = content.get(JSON, {}).get("schema")
        if schema is None or (isinstance(body, str) and len(content) > 1):
            return [] if isinstance(body, str) else ["not a text"]
        whole = {**schema, "components": self._document["components"]}
        return [error.message for error in Draft202012Validator(whole).iter_errors(body)]


def _closed(described: Any) -> Any:
    """Let objects have no more properties than are named: what is not described must not be answered."""
    if isinstance(described, dict):
        if described.get("type") == "object" and "properties" in described and "additionalProperties" not in described:
            described["additionalProperties"] = False
        for part in described.values():
            _closed(part)
    elif isinstance(described, list):
        for part in described:
            _closed(part)
    return described


@asynccontextmanager
async def walking(folder: Path, clock: SetClock | None = None, **settings: Any) -> AsyncIterator[Walk]:
    """Serve a site with no hub and ask it as the local command line does."""
    chosen = SiteSettings(port=0, data_dir=folder / "site", site_name="plant", **settings)
    async with running_site(chosen, clock or SetClock()) as running:
        token = (folder / "site" / "operator.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=running.url, headers=headers, trust_env=False, verify=trust_for(running.url), timeout=30
        ) as http:
            yield Walk(running, http)
