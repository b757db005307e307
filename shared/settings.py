"""Settings of a daemon: defaults < TOML file < environment < flags, with units, and errors that name the culprit.

A settings type is a frozen dataclass whose fields are made with `setting(...)`:

    @dataclass(frozen=True)
    class HubSettings:
        port: int = setting(8470, "TCP port to listen on", least=0, most=65535)

    loaded = load(HubSettings, name="hub", file=Path("pairhub.toml"), environ=os.environ, flags={"port": 9000})

reads table `[hub]` of the file and variables `PAIRHUB_HUB_PORT`.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from shared.errors import PairhubError

T = TypeVar("T")
_META = "pairhub setting"


class SettingWrong(PairhubError):
    """A setting that cannot be used: which one, where it comes from, and what is allowed."""

    def __init__(self, name: str, source: str, why: str) -> None:
        super().__init__(name, source, why)
        self.name = name
        self.source = source
        self.why = why

    def __str__(self) -> str:
        return f"Setting '{self.name}' ({self.source}): {self.why}."


class AddressUnavailable(SettingWrong):
    """The address to listen on cannot be had: taken, not allowed, or not of this machine."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What a field says about itself."""

    help: str
    unit: str
    least: float | None
    most: float | None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """One setting, for help and documentation."""

    name: str
    type_name: str
    default: object
    unit: str
    help: str
    allowed: str
    variable: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """Settings, and per name where each value came from (`default`, a file, a variable, a flag)."""

    settings: T
    sources: Mapping[str, str]


def setting(
    default: Any,
    help: str,  # noqa: A002
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    secret: bool = False,
) -> Any:
    """Make a field: its default, one sentence, its unit, and bounds (both included); a secret's value is never shown."""
    return dataclasses.field(default=default, metadata={_META: Meta(help, unit, least, most, secret)})


def load(
    kind: type[T], *, name: str, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object | None]
) -> Loaded[T]:
    """Put the settings together; raises SettingWrong. A flag of None was not given."""
    values: dict[str, object] = {}
    sources = {field.name: "default" for field in _fields(kind)}
    types_of = get_type_hints(kind)
    for given_name, value, source in _given(name, file, environ, flags):
        if given_name not in sources:
            raise SettingWrong(given_name, source, f"there is no such setting; there are {', '.join(sorted(sources))}")
        field = next(field for field in _fields(kind) if field.name == given_name)
        values[given_name] = _read(types_of[given_name], field.metadata[_META], value, given_name, source)
        sources[given_name] = source
    return Loaded(kind(**values), sources)


def describe(kind: type[object], *, name: str) -> list[Described]:
    """Return every setting of a type, in order."""
    types_of = get_type_hints(kind)
    rows = []
    for field in _fields(kind):
        meta: Meta = field.metadata[_META]
        allowed = _allowed(types_of[field.name], meta)
        variable = _prefix(name) + field.name.upper()
        type_name = _type_name(types_of[field.name])
        rows.append(
            Described(field.name, type_name, field.default, meta.unit, meta.help, allowed, variable, meta.secret)
        )
    return rows


def _fields(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _prefix(name: str) -> str:
    return f"PAIRHUB_{name.upper()}_"


def _given(
    name: str,
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object | None],
) -> Iterator[tuple[str, object, str]]:
    """Yield (name, value, source) from the weakest source to the strongest."""
    if file is not None:
        for key, value in _flat(_table(file, name)):
            yield key.replace("-", "_"), value, f"[{name}] in {file}"
    prefix = _prefix(name)
    for variable in sorted(environ):
        if variable.startswith(prefix):
            yield variable.removeprefix(prefix).lower(), environ[variable], f"environment variable {variable}"
    for key, flag in flags.items():
        if flag is not None:
            yield key, flag, f"flag --{key.replace('_', '-')}"


def _table(file: Path, name: str) -> dict[str, object]:
    try:
        parsed = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingWrong("config", str(file), f"the file cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingWrong("config", str(file), f"the file is not TOML: {error}") from error
    table = parsed.get(name, {})
    if not isinstance(table, dict):
        raise SettingWrong(name, str(file), f"[{name}] has to be a table")
    return table


def _flat(table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield `tls_cert` for `tls.cert`, or for `cert` in a table `[hub.tls]`; and a list of words as one text."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}_")
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            yield before + key, ", ".join(value)
        else:
            yield before + key, value


def _read(wanted: Any, meta: Meta, value: object, name: str, source: str) -> object:
    allowed = _allowed(wanted, meta)
    try:
        result = _convert(wanted, value)
    except (ValueError, TypeError) as error:
        raise SettingWrong(name, source, f"'{value}' will not do; allowed is {allowed}") from error
    if isinstance(result, int | float) and not isinstance(result, bool):
        too_small = meta.least is not None and result < meta.least
        if too_small or (meta.most is not None and result > meta.most) or not math.isfinite(result):
            raise SettingWrong(name, source, f"{result} is out of range; allowed is {allowed}")
    return result


def _convert(wanted: Any, value: object) -> object:
    wanted, optional = _without_none(wanted)
    if optional and (value is None or value == ""):
        return None
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise ValueError(value)
        return value
    if wanted is bool:
        return _boolean(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise TypeError(value)
    if wanted is int and isinstance(value, float):
        raise TypeError(value)
    if wanted in (str, Path) and not isinstance(value, str | Path):
        raise TypeError(value)
    if wanted is Path:
        return Path(value).expanduser()  # type: ignore[arg-type]
    return wanted(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError(value)


def _without_none(wanted: Any) -> tuple[Any, bool]:
    if get_origin(wanted) in (Union, types.UnionType):
        rest = [part for part in get_args(wanted) if part is not types.NoneType]
        return rest[0], len(rest) < len(get_args(wanted))
    return wanted, False


def _type_name(wanted: Any) -> str:
    plain, optional = _without_none(wanted)
    if get_origin(plain) is Literal:
        return " | ".join(map(str, get_args(plain)))
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names[plain] + (", or empty" if optional else "")


def _allowed(wanted: Any, meta: Meta) -> str:
    unit = f" {meta.unit}" if meta.unit else ""
    if meta.least is not None and meta.most is not None:
        return f"a {_type_name(wanted)} from {meta.least:g} to {meta.most:g}{unit}"
    if meta.least is not None:
        return f"a {_type_name(wanted)} of at least {meta.least:g}{unit}"
    return f"{_type_name(wanted)}{unit}"
