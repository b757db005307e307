"""The systemd units that come with this release, with the paths of the installation that runs."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from shared.errors import PairhubError

UNIT_NAMES: Final = ("pairhub-hub.service", "pairhub-site.service")
_PLACEHOLDER: Final = "/opt/pairhub/bin/pairhub"
# What the units hide from the daemon (ProtectHome, PrivateTmp): a program in there could not be started.
_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # names places, writes nowhere


def unit_texts(program: Path) -> dict[str, str]:
    """Return each unit's text by its name, starting `program`; raises PairhubError where units could not start it."""
    for hidden in _HIDDEN:
        if program.is_relative_to(hidden):
            raise PairhubError(
                f"{program} lies under {hidden}, which the units hide from the daemons. "
                "Install into a directory such as /opt/pairhub, and run that one's 'pairhub units'."
            )
    if any(character.isspace() or character in "%$\"'\\;" for character in str(program)):
        raise PairhubError(f"{program} has characters in it that a unit cannot name; install into another directory.")
    folder = _folder()
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in UNIT_NAMES}
    return {name: text.replace(_PLACEHOLDER, str(program)) for name, text in texts.items()}


def write_units(texts: dict[str, str], folder: Path) -> list[Path]:
    """Write units into a directory that is there; return where they are now. Raises PairhubError."""
    written = []
    for name, text in texts.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise PairhubError(f"{folder / name} cannot be written: {error.strerror}") from error
        written.append(folder / name)
    return written


def _folder() -> Traversable:
    """In a wheel the units lie in this package; in a checkout in deploy/."""
    inside = files("shared") / "systemd"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "deploy" / "systemd"
