"""The OpenAPI document: valid by a validator that is not ours, and true of what a live site answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

from connector.access import ACTIONS
from connector.api.registry import OPERATIONS
from connector.api.routing import PREFIX, document
from shared.errors import REFUSALS
from tests.connector.api_steps import walk_everything
from tests.connector.api_walk import Walk, walking
from tests.connector.visitors import visitor


def test_the_document_is_valid_openapi() -> None:
    validate(document())


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        assert operation.handler.__doc__, operation.name
        assert operation.action in ACTIONS, operation.name
        assert set(operation.all_errors) <= set(REFUSALS), operation.name
    places = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(places)) == len(places)


def test_each_address_of_the_document_is_one_of_the_registry() -> None:
    described = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert described == {(operation.method, PREFIX + operation.path) for operation in OPERATIONS}


async def test_w7_w8_w12_every_operation_answers_what_the_document_says(tmp_path: Path) -> None:
    async with walking(tmp_path) as walk:
        answer = await walk.http.get("/api/v1/openapi.json")
        assert answer.json() == document()
        stranger = await walk.http.get("/api/v1/openapi.json", headers={"Authorization": "Bearer phk_x"})
        assert stranger.status_code == 401
        await walk_everything(walk)
        untouched = {operation.name for operation in OPERATIONS} - walk.touched
        assert untouched == set(), "the walk must come by every operation"
        assert walk.succeeded >= {operation.name for operation in OPERATIONS} - ELSEWHERE
        wrong_answers_are_found(walk)


# These only refuse at a site without a hub, or never end; other tests pair for real, and listen.
ELSEWHERE = {
    "accept",
    "agree_to_part",
    "ask_replay",
    "ask_to_part",
    "cancel_replay",
    "claim",
    "create_here",
    "create_target",
    "create_there",
    "decline_to_part",
    "discard_quarantine",
    "discard_quarantined",
    "dismiss_conflict",
    "enrol",
    "get_quarantined_content",
    "get_replay",
    "open_window",
    "refuse",
    "restore_conflict",
    "retry_quarantined",
    "set_peer_rights",
    "stream_events",
    "take_ask_back",
}


async def test_w12_people_read_the_same_at_their_own_page(tmp_path: Path) -> None:
    async with visitor(tmp_path) as found:
        text = await found.get("/api")
        for operation in OPERATIONS:
            assert f"{operation.method} {PREFIX}{operation.path}" in text
            assert operation.summary in text
        assert "Page of Gap" in text
        assert "What else the API can do" in await found.get("/api-key")


def wrong_answers_are_found(walk: Walk) -> None:
    """See that the walk would have failed."""
    operation = next(operation for operation in OPERATIONS if operation.name == "get_account")
    good = {"own": None, "stated_by_source": None}
    assert walk.problems(operation, 200, good) == []
    wrong: list[tuple[int, Any]] = [
        (200, {"own": None}),
        (200, {**good, "more": 1}),
        (418, good),
        (404, {"code": "exists", "message": "", "facts": {}}),
    ]
    for status, body in wrong:
        assert walk.problems(operation, status, body), (status, body)


def test_no_word_of_this_workplace_is_in_the_document() -> None:
    assert not re.search(r"localhost|/work|127\.0\.0\.1", str(document()))
