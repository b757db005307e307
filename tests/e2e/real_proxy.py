"""The real nginx and Caddy, run with the samples of deploy/ as they stand, but for ports, names and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.stage import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


def rendered(sample: Path, changes: Mapping[str, str]) -> str:
    """Return a sample with each of these texts, which it has to contain, exchanged."""
    text = sample.read_text(encoding="utf-8")
    for before, after in changes.items():
        assert before in text, f"{sample.name} no longer says {before!r}"
        text = text.replace(before, after)
    return text


def nginx(folder: Path, port: int, cert: Path, key: Path, hub_port: int, site_port: int) -> list[str]:
    """Write what nginx needs into a folder; return its command."""
    sample = rendered(
        DEPLOY / "nginx" / "pairhub.conf",
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "server_name example.org": "server_name localhost",
            "/etc/ssl/example.org/fullchain.pem": str(cert),
            "/etc/ssl/example.org/privkey.pem": str(key),
            "127.0.0.1:8470": f"127.0.0.1:{hub_port}",
            "127.0.0.1:8471": f"127.0.0.1:{site_port}",
        },
    )
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # One process, so that ending it ends all of it.
    around = f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n"
    (folder / "nginx.conf").write_text(f"{around}{temporary}{sample}}}\n", encoding="utf-8")
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, cert: Path, key: Path, hub_port: int, site_port: int) -> list[str]:
    """Write what Caddy needs into a folder; return its command."""
    sample = rendered(
        DEPLOY / "caddy" / "Caddyfile",
        {
            "\nexample.org {\n": f"\nhttps://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {cert} {key}\n",
            "127.0.0.1:8470": f"127.0.0.1:{hub_port}",
            "127.0.0.1:8471": f"127.0.0.1:{site_port}",
        },
    )
    alone = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(alone + sample, encoding="utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS = {"nginx": nginx, "caddy": caddy}


@asynccontextmanager
async def running_proxy(
    name: str, folder: Path, port: int, pair: tuple[Path, Path], ports: tuple[int, int]
) -> AsyncIterator[None]:
    """Run a proxy for the time of a block; `pair` is its certificate and key, `ports` those of hub and site."""
    folder.mkdir()
    command = COMMANDS[name](folder, port, *pair, *ports)
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, f"{name} is not installed; ./run test installs it"
    environ = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PATH": "/usr/bin"}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program, *command[1:], stdout=log, stderr=log, env=environ)
        try:
            await _until_open(process, port, folder / "log")
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait_for(process.wait(), 10)


async def _until_open(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, log.read_text(encoding="utf-8")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


__all__ = ["free_port", "running_proxy"]
