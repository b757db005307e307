"""The reference of the API: every operation with what it takes and answers, drawn from its OpenAPI document."""

from msgspec import Struct

from web.contexts.base import template
from web.contexts.shell import Shell


class ApiField(Struct, frozen=True):
    """A parameter, or a field of a type: `place` is path, query, header, or empty; `kind` is its type in words."""

    name: str
    kind: str
    says: str = ""
    place: str = ""
    is_required: bool = False


class ApiOperation(Struct, frozen=True):
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


class ApiTopic(Struct, frozen=True):
    """Operations that belong together."""

    name: str
    operations: tuple[ApiOperation, ...]


class ApiType(Struct, frozen=True):
    """What a body or an answer holds."""

    name: str
    says: str
    fields: tuple[ApiField, ...]


@template("api_reference.html")
class ApiReferencePage(Struct, frozen=True):
    """The page."""

    shell: Shell
    topics: tuple[ApiTopic, ...]
    types: tuple[ApiType, ...]
    document_url: str
