"""The deliberate bugs as the files of `bugs/` list them, and putting one into a copy of the sources."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parents[2]
LISTS: Final = Path(__file__).parent / "bugs"


class Stale(Exception):
    """The text that a bug replaces is not in the sources, or not only once: the list has to follow the code."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One replacement of text. `where`: a folder or file of the sources; the text must be there exactly once.

    `breaks` says which promise goes. `tests` names the tests that are to catch it, where the first seeds do not: few meet
    it, or what is wrong lies in a shell, which the simulation replaces.
    """

    name: str
    where: str
    breaks: str
    find: str
    replace: str
    tests: list[str] = field(default_factory=list)

    def source(self, tree: Path = TREE) -> Path:
        """Return the file that holds the text; raises Stale."""
        place = tree / self.where
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        counts = {file: file.read_text().count(self.find) for file in files}
        found = [file for file, count in counts.items() if count]
        if len(found) != 1 or counts[found[0]] != 1:
            raise Stale(f"{self.name}: its text is {sum(counts.values())} times in {self.where}, not once")
        return found[0]

    def mutated(self, tree: Path = TREE) -> str:
        """Return the text of the file with the bug in it; raises Stale."""
        return self.source(tree).read_text().replace(self.find, self.replace)


def all_bugs() -> list[Bug]:
    """Return every bug of every list, in the order of the files."""
    return [Bug(**entry) for file in sorted(LISTS.glob("*.toml")) for entry in tomllib.loads(file.read_text())["bug"]]
