"""A wheel of this checkout, built and installed as docs/operations.md says, in a directory that only machines of tests see."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# Where machines see the installation: a place that hides neither Python nor its libraries. Units refuse /tmp and /home.
PLACE: Final = next(
    place
    for place in (Path("/opt"), Path("/srv"), Path("/mnt"))
    if not any(Path(path).resolve().is_relative_to(place) for path in (sys.base_prefix, sys.prefix, ROOT))
)
PROGRAM: Final = PLACE / "pairhub" / "bin" / "pairhub"


def run(*words: str | Path, **options: object) -> str:
    """Run a command and return what it says; raises AssertionError with all of it where it fails."""
    done = subprocess.run(  # type: ignore[call-overload]
        list(map(str, words)), capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def install_wheel(folder: Path) -> Path:
    """Build a wheel and install it for PLACE; return the directory that machines have to see there.

    The libraries are those of the tests, whose directory the installation is told of: to fetch them again would take
    longer than the test and prove nothing of ours. So this does not show that the list of dependencies is complete.
    """
    wheels, opt = folder / "dist", folder / "opt"
    build = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *build, "-w", wheels, ROOT)
    (wheel,) = wheels.glob("pairhub-*.whl")
    (opt / "pairhub").mkdir(parents=True)
    python = PROGRAM.with_name("python")
    seen_at_place(opt, sys.executable, "-m", "venv", "--without-pip", PLACE / "pairhub")
    quietly = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    seen_at_place(opt, sys.executable, "-m", "pip", "--python", python, "install", *quietly, wheel)
    (libraries,) = (opt / "pairhub" / "lib").glob("python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (libraries / "libraries-of-the-tests.pth").write_text("\n".join(sorted(paths)) + "\n")
    (opt / "units").mkdir()
    seen_at_place(opt, PROGRAM, "units", "--write", PLACE / "units")
    return opt


def seen_at_place(opt: Path, *words: str | Path) -> str:
    """Run a command that finds a directory at PLACE; nobody else does."""
    script = f'mount --bind "$0" {PLACE} && cd / && exec "$@"'
    return run("unshare", "--mount", "sh", "-c", script, opt, *words)
