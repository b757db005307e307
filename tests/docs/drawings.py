"""What the documents take from the code: diagrams, settings, refusals, routes, bounds."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from connector.api.registry import OPERATIONS
from connector.api.routing import PREFIX
from connector.metrics import MEASURES as SITE_MEASURES
from connector.settings import SETTINGS_NAME as SITE_NAME
from connector.settings import SiteSettings
from hub.metrics import MEASURES as HUB_MEASURES
from hub.settings import SETTINGS_NAME as HUB_NAME
from hub.settings import HubSettings
from shared import certificates, limits, messages, pairing, sealing
from shared.core import cells, completion, entries, ledger, link_state, parting, replay_job, window
from shared.core.repair_kinds import REPAIRS
from shared.core.tables import Table
from shared.errors import REFUSALS
from shared.exit_codes import ExitCode
from shared.metrics import HTTP_MEASURES, Measure
from shared.settings import describe
from tests.docs.pages import ROOT

# What stands inside frames and sealed bodies, in the order in which a reader meets it.
STRUCTURES: Final[tuple[type[msgspec.Struct], ...]] = (
    certificates.Enrolment,
    certificates.Party,
    certificates.PairCertificate,
    certificates.Dissolution,
    certificates.Parting,
    pairing.Offer,
    pairing.Counter,
    pairing.Proof,
    messages.HeldEpoch,
    messages.Recorded,
    messages.RecordedEpoch,
    entries.Private,
    entries.StatedEpoch,
    ledger.Ledger,
    cells.Cell,
    entries.Definition,
    entries.GapNotice,
    entries.GapRow,
    replay_job.Replayed,
    replay_job.ReplayAsk,
    replay_job.LeftOut,
    replay_job.StatedReplay,
)
# Operations named beside a code; of more, the number says enough.
_NAMED_MAX: Final = 6
BOUNDS: Final = (
    "FRAME_BYTES_MAX",
    "SEGMENT_READINGS_MAX",
    "SEGMENT_PLAIN_BYTES_TARGET",
    "SEGMENT_PLAIN_BYTES_MAX",
    "DECOMPRESS_RATIO_MAX",
    "DECOMPRESS_FREE_BYTES",
    "SEALED_NUMBER_MAX",
    "CONTROL_ENTRY_BYTES_MAX",
    "CONTROL_IN_FLIGHT_MAX",
    "CALL_BODY_BYTES_MAX",
    "CALL_DEADLINE_S",
    "CREDIT_BYTES",
    "CREDIT_GRANT_BYTES",
    "EPOCHS_STATED_MAX",
    "LINK_FRAMES_PER_S_MAX",
    "PINGS_PER_S_MAX",
    "FRAGMENTS_MAX",
    "HANDSHAKE_DEADLINE_S",
    "SEND_DEADLINE_S",
    "ASSERTION_LIFE_S",
    "NONCE_LIFE_S",
    "HUB_COPY_DELAY_MS",
    "RESYNC_AFTER_MS",
    "REPLAY_SEGMENTS_MAX",
    "REPLAY_RANGE_MS_MAX",
    "REPLAY_NAMES_MAX",
    "REPLAY_JOBS_OPEN_MAX",
    "CLAIM_BODY_BYTES_MAX",
    "CLAIM_DEADLINE_MS",
    "PAIR_HELLO_EVERY_MS",
    "KNOCKS_PER_MINUTE_MAX",
    "CODE_ATTEMPTS",
    "WINDOW_MS_MIN",
    "WINDOW_MS_MAX",
)


def tables() -> list[Table[Any, Any]]:
    """Return every state machine of the core."""
    found = []
    for module in (window, completion, link_state, parting, replay_job):
        found += [value for value in vars(module).values() if isinstance(value, Table)]
    return found


def diagram(table: Table[Any, Any]) -> str:
    """Draw one machine, fenced so that viewers of Markdown draw it."""
    return f"```mermaid\n{table.mermaid()}\n```\n"


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, body)]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def settings(kind: type[object], name: str) -> str:
    """Return the settings of a daemon."""
    body = []
    for one in describe(kind, name=name):
        default = one.default
        shown = (
            "empty" if default in ("", None) else str(default).lower() if isinstance(default, bool) else str(default)
        )
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


def routes_and_actions() -> str:
    """Return the operations of a site's API with the action that each needs."""
    body = [
        (
            f"`{operation.method}`",
            f"`{PREFIX}{operation.path}`",
            f"`{operation.name}`",
            operation.action,
            operation.summary,
        )
        for operation in OPERATIONS
    ]
    return rows(("method", "path", "operation", "action", "what it does"), body)


def errors_of_the_api() -> str:
    """Return every code that an operation of a site's API can answer, with the operations that do."""
    by_code: dict[str, list[str]] = {}
    for operation in OPERATIONS:
        for code in operation.all_errors:
            by_code.setdefault(code, []).append(operation.name)
    body = []
    for code in sorted(by_code, key=lambda code: (REFUSALS[code][0], code)):
        names, status = by_code[code], REFUSALS[code][0]
        shown = ", ".join(f"`{name}`" for name in names) if len(names) <= _NAMED_MAX else f"{len(names)} operations"
        if len(names) == len(OPERATIONS):
            shown = "all"
        body.append((f"`{code}`", str(status), "yes" if REFUSALS[code][1] else "no", shown))
    return rows(("code", "HTTP", "retry helps", "answered by"), body)


def _structs(module: object, keep: Callable[[type[msgspec.Struct]], bool]) -> list[type[msgspec.Struct]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and keep(value)
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
    return rows(
        ("frame", "fields, in order", "meaning"), [(f"`{k.__name__}`", _fields(k), _first_line(k)) for k in kinds]
    )


def control_entries() -> str:
    """Return every entry of the control log."""
    kinds = _structs(entries, lambda kind: kind.__struct_config__.tag is not None)
    body = [(f"`{kind.__struct_config__.tag}`", _fields(kind), _first_line(kind)) for kind in kinds]
    return rows(("tag", "fields, in order", "meaning"), body)


def header() -> str:
    """Return the layout of a sealed header, byte by byte."""
    codes = re.findall(r"(\d*)([BHIQs])", sealing._HEADER.format)
    body, at = [], 0
    for name, (length, code) in zip(sealing.Header.__annotations__, codes, strict=True):
        size = struct.calcsize(f">{length}{code}")
        body.append(
            (
                str(at),
                str(size),
                f"`{name}`",
                "bytes" if code == "s" else "unsigned, big-endian" if size > 1 else "unsigned",
            )
        )
        at += size
    if at != sealing.HEADER_BYTES:
        raise AssertionError(f"{at} bytes drawn, the header has {sealing.HEADER_BYTES}")
    return rows(("offset", "bytes", "field", "form"), [*body, (str(at), "", "end", "")])


def kinds() -> str:
    """Return the kinds of sealed bodies and the two sides."""
    named = [(f"`kind` {kind.value}", kind.name.lower()) for kind in sealing.Kind]
    return rows(("number", "stands for"), [*named, *((f"`side` {side.value}", side.word) for side in sealing.Side)])


def structures() -> str:
    """Return every structure that travels inside frames and sealed bodies."""
    body = [(f"`{kind.__name__}`", _fields(kind), _first_line(kind)) for kind in STRUCTURES]
    return rows(("structure", "fields, in order", "meaning"), body)


def bounds() -> str:
    """Return the bounds that a peer has to know, with the reason that the code gives."""
    source = (ROOT / "shared" / "limits.py").read_text(encoding="utf-8")
    body = []
    for name in BOUNDS:
        match = re.search(rf"((?:^# [^\n]*\n)*)^{name}: Final = ", source, re.MULTILINE)
        if match is None:
            raise AssertionError(f"no such bound: {name}")
        reason = " ".join(line.removeprefix("# ") for line in match[1].splitlines() if not line.startswith("# ---"))
        body.append((f"`{name}`", f"{getattr(limits, name):,}", reason))
    return rows(("bound", "value", "reason"), body)


def repairs() -> str:
    """Return every kind of repair."""
    body = [
        (
            f"`{code}`",
            kind.title,
            kind.means,
            kind.fix,
            f"{kind.raise_after_ms // 1000} s, {kind.clear_after_ms // 1000} s",
            "yes" if kind.is_urgent else "",
        )
        for code, kind in REPAIRS.items()
    ]
    return rows(("code", "repair", "what it means", "what to do", "raised, cleared after", "urgent"), body)


def exit_codes() -> str:
    """Return what the command line ends with."""
    return rows(("code", "name", "meaning"), [(str(int(code)), code.name, code.meaning) for code in ExitCode])


def measures(found: Iterable[Measure]) -> str:
    """Return what a daemon says to Prometheus."""
    body = [(f"`{each.name}`", each.kind, ", ".join(each.labels) or "none", each.help) for each in found]
    return rows(("name", "kind", "labels", "what it says"), body)


def parts() -> dict[str, str]:
    """Return everything that is drawn, by the name that documents use."""
    named = {table.name.replace(" ", "-"): diagram(table) for table in tables()}
    return {
        **{f"diagram-{name}": text for name, text in named.items()},
        "settings-hub": settings(HubSettings, HUB_NAME),
        "settings-site": settings(SiteSettings, SITE_NAME),
        "repairs": repairs(),
        "refusals": refusals(),
        "exit-codes": exit_codes(),
        "metrics-hub": measures((*HUB_MEASURES, *HTTP_MEASURES)),
        "metrics-site": measures((*SITE_MEASURES, *HTTP_MEASURES)),
        "routes-site": routes_and_actions(),
        "errors-site": errors_of_the_api(),
        "frames": frames(),
        "control-entries": control_entries(),
        "header": header(),
        "kinds": kinds(),
        "structures": structures(),
        "bounds": bounds(),
    }


def machines_in(folder: Path) -> set[str]:
    """Return the modules of a folder that declare a table."""
    return {path.stem for path in folder.glob("*.py") if re.search(r"= Table\(", path.read_text(encoding="utf-8"))}
