"""The reference of the API: every operation with what it takes and answers, drawn from its OpenAPI document."""

from dataclasses import dataclass

from web.contexts.base import template
from web.contexts.shell import Shell


@dataclass(frozen=True, slots=True)
class ApiField:
    """A parameter, or a field of a type: `place` is path, query, header, or empty; `kind` is its type in words."""

    name: str
    kind: str
    says: str = ""
    place: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """One operation. `body` and `answer` name types of the page, empty for none; `refusals` are (status, codes)."""

    operation_id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[ApiField, ...]
    body: str
    answer: str
    refusals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ApiTopic:
    """Operations that belong together."""

    name: str
    operations: tuple[ApiOperation, ...]


@dataclass(frozen=True, slots=True)
class ApiType:
    """What a body or an answer holds."""

    name: str
    says: str
    fields: tuple[ApiField, ...]


@template("api_reference.html")
@dataclass(frozen=True, slots=True)
class ApiReferencePage:
    """The page."""

    shell: Shell
    topics: tuple[ApiTopic, ...]
    types: tuple[ApiType, ...]
    document_url: str
