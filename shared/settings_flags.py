"""The settings of a daemon as flags of a command, so that each is written down once, in its settings type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from shared.settings import describe

Command = TypeVar("Command", bound=Callable[..., Any])


def takes_settings(kind: type[object], *, name: str) -> Callable[[Command], Command]:
    """Give a command a flag for each setting of `kind`, in the place of its `**flags`, which receive those given.

    Values stay text: `shared.settings.load` reads them and names the flag where one is wrong.
    """

    def with_flags(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, Parameter(help=f"{one.help} ({one.allowed}).")],
            )
            for one in describe(kind, name=name)
        ]
        command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
        return command

    return with_flags
