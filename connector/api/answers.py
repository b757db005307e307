"""Answers of the API: JSON, nothing, or a refusal with its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from shared.errors import LinkLost, Refused, StorageFailed


class Refusal(msgspec.Struct, frozen=True):
    """A no: `code` is stable, `message` is for people, `facts` are what the message names."""

    code: str
    message: str
    facts: dict[str, str]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON, or 204 for nothing. Answers are not to be stored by caches."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    if body is None:
        return Response(status_code=204, headers=all_headers)
    return Response(msgspec.json.encode(body), status, all_headers, media_type="application/json")


def refusal(refused: Refused) -> Response:
    """Return a refusal with its status."""
    facts = {name: str(value) for name, value in refused.facts.items()}
    headers = {"ETag": facts["etag"]} if refused.code == "changed_meanwhile" else None
    return answer(Refusal(refused.code, str(refused), facts), refused.status, headers)


def no_of(error: Refused | StorageFailed | LinkLost) -> Response:
    """Return the answer to a request that ended in one of these."""
    match error:
        case Refused():
            return refusal(error)
        case StorageFailed():
            return refusal(Refused("storage_failed", why=str(error)))
        case LinkLost():
            return answer(Refusal("hub_not_reachable", str(error), {}), 503)
