"""What the command line says and asks about backups: passphrase, progress, and what was written or found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from shared.backup import Manifest, Progress, quiet
from shared.settings import SettingWrong

PASSPHRASE_VARIABLE: Final = "PAIRHUB_BACKUP_PASSPHRASE"  # noqa: S105  # the name of a variable


def read_passphrase(file: Path | None, environ: Mapping[str, str]) -> str:
    """Return the first line of a file, or the variable where none is named, empty for none; raises SettingWrong."""
    if file is None:
        return environ.get(PASSPHRASE_VARIABLE, "")
    try:
        found = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingWrong("passphrase_file", str(file), f"it cannot be read: {error}") from error
    if not found:
        raise SettingWrong("passphrase_file", str(file), "its first line is empty")
    return found


@contextmanager
def shown_progress(stream: TextIO) -> Iterator[Progress]:
    """Show a bar where a person watches, nothing elsewhere."""
    if not stream.isatty():
        yield quiet
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=1)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=max(1, total))


def manifest_line(done: str, manifest: Manifest) -> str:
    """Say in one line what was done to which backup."""
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in manifest.facts.items())
    size = f"{manifest.total_bytes / 2**20:.1f} MiB"
    return f"{done}: {manifest.kind} ({facts}), state of {manifest.made_at}, schema {manifest.schema}, {size}"


def manifest_json(file: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "file": str(file),
        "kind": manifest.kind,
        "version": manifest.version,
        "schema": manifest.schema,
        "made_at": manifest.made_at,
        "facts": manifest.facts,
        "parts": {part.name: {"bytes": part.bytes, "sha256": part.sha256} for part in manifest.parts},
    }
