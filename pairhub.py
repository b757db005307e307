"""The command line; composes the rest, holds no rules."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import uvloop
from cyclopts import App, Parameter

from shared.errors import PairhubError
from shared.settings import Loaded, load

T = TypeVar("T")
_EXIT_FAILED = 1
_EXIT_WRONG_USE = 2


def _version() -> str:
    try:
        return package_version("pairhub")
    except PackageNotFoundError:
        return "0 (not installed)"


main = App(
    name="pairhub",
    help="Pair two sites through a hub and stream readings from one to the other, losing none.",
    version=_version,
)
hub_app = App(name="hub", help="The hub that both sites dial.")
site_app = App(name="site", help="The daemon of one site.")
bench_app = App(name="bench", help="Measure this machine with the real daemons.")
for part in (hub_app, site_app, bench_app):
    main.command(part)

Json = Annotated[bool, Parameter(help="Print one JSON object instead of text.", negative="")]
DataDir = Annotated[Path | None, Parameter(help="Data directory.")]
Config = Annotated[Path | None, Parameter(help="TOML file with a [hub] or [site] table.")]


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; errors for people become lines and exit code 1."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (PairhubError, BaseExceptionGroup) as error:
        for told in _for_people(error):
            print(f"pairhub: {told}", file=sys.stderr)
        raise SystemExit(_EXIT_FAILED) from None


def _for_people(error: BaseException) -> list[PairhubError]:
    """Return the errors of ours in a group; anything else in it is a bug and is raised."""
    if isinstance(error, BaseExceptionGroup):
        return [told for part in error.exceptions for told in _for_people(part)]
    if isinstance(error, PairhubError):
        return [error]
    raise error


def _print_json(value: object) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), flush=True)


def _load(kind: type[T], name: str, config: Path | None, flags: dict[str, object | None]) -> Loaded[T]:
    try:
        return load(kind, name=name, file=config, environ=os.environ, flags=flags)
    except PairhubError as error:
        print(f"pairhub: {error}", file=sys.stderr)
        raise SystemExit(_EXIT_WRONG_USE) from error


# --- hub and site -------------------------------------------------------------------------------------------------------


@hub_app.command(name="serve")
def hub_serve(
    *,
    config: Config = None,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
    key_file: Annotated[
        Path | None, Parameter(help="The hub's private key; beside the data directory by default.")
    ] = None,
    public_url: Annotated[str | None, Parameter(help="Address under which sites reach this hub.")] = None,
    hub_name: Annotated[str | None, Parameter(help="Name on the operator's page.")] = None,
    open_enrolment: Annotated[str | None, Parameter(help="true: sites enrol without a token.")] = None,
    copy_days: Annotated[float | None, Parameter(help="Days that undelivered copies are kept.")] = None,
    copy_bytes_max: Annotated[int | None, Parameter(help="Bytes that all copies may take.")] = None,
    log_level: Annotated[str | None, Parameter(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, Parameter(help="text or json.")] = None,
) -> None:
    """Run a hub until SIGTERM or Ctrl-C."""
    from hub.serve import serve
    from hub.settings import SETTINGS_NAME, HubSettings
    from shared.logs import set_up_logging

    flags: dict[str, object | None] = {name: value for name, value in locals().items() if name in _hub_names()}
    settings = _load(HubSettings, SETTINGS_NAME, config, flags).settings
    set_up_logging(settings.log_level, settings.log_format)

    def ready(url: str) -> None:
        print(f"The hub listens at {url}", flush=True)
        _print_setup(url, settings.data_dir)

    _run(serve(settings, ready=ready))


def _hub_names() -> set[str]:
    from hub.settings import HubSettings

    return set(HubSettings.__dataclass_fields__)


@site_app.command(name="serve")
def site_serve(
    *,
    config: Config = None,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
    site_name: Annotated[str | None, Parameter(help="Name of the site, unique at its hub.")] = None,
    hub_url: Annotated[str | None, Parameter(help="Address of the hub.")] = None,
    enrolment_token: Annotated[str | None, Parameter(help="Token from the hub's operator, needed once.")] = None,
    retention_days: Annotated[float | None, Parameter(help="Days that readings wait for the other side.")] = None,
    outbox_bytes_max: Annotated[int | None, Parameter(help="Bytes that waiting readings may take.")] = None,
    outbox_full: Annotated[str | None, Parameter(help="drop_oldest or refuse_new.")] = None,
    window_minutes: Annotated[float | None, Parameter(help="Minutes that a pairing window stays open.")] = None,
    accept_pairings: Annotated[str | None, Parameter(help="true: a person accepts each claimant.")] = None,
    log_level: Annotated[str | None, Parameter(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, Parameter(help="text or json.")] = None,
) -> None:
    """Run a site until SIGTERM or Ctrl-C."""
    from connector.serve import RunningSite, serve
    from connector.settings import SETTINGS_NAME, SiteSettings
    from shared.logs import set_up_logging

    names = set(SiteSettings.__dataclass_fields__)
    flags: dict[str, object | None] = {name: value for name, value in locals().items() if name in names}
    settings = _load(SiteSettings, SETTINGS_NAME, config, flags).settings
    set_up_logging(settings.log_level, settings.log_format)

    def ready(running: RunningSite) -> None:
        print(f"The site '{running.site.identity.site_name}' listens at {running.url}", flush=True)
        _print_setup(running.url, settings.data_dir)

    _run(serve(settings, ready))


def _print_setup(url: str, data_dir: Path) -> None:
    """While nobody has set the daemon up, say how: the one-time token is for the owner of this console."""
    token = data_dir / "setup.token"
    if token.exists():
        print(f"Set it up once: {url}/setup?token={token.read_text(encoding='utf-8').strip()}", flush=True)


# --- asking running daemons ---------------------------------------------------------------------------------------------


@main.command
def status(*, data_dir: DataDir = Path("site-data"), json: Json = False) -> None:
    """Show the state of the site or hub that runs with this data directory."""
    from shared.rig.client import ApiClient, daemon_address, operator_token
    from shared.rig.status_text import status_lines

    assert data_dir is not None

    async def ask() -> Any:
        async with ApiClient(daemon_address(data_dir), operator_token(data_dir)) as client:
            return await client.get("/status")

    found = _run(ask())
    if json:
        _print_json(found)
    else:
        print("\n".join(status_lines(found)))


@main.command
def enrol(
    token: Annotated[str, Parameter(help="The token from the hub's operator; empty where enrolment is open.")] = "",
    *,
    data_dir: DataDir = Path("site-data"),
    new: Annotated[str | None, Parameter(help="At the hub: make a token for a site of this name.")] = None,
    json: Json = False,
) -> None:
    """Enrol the running site at its hub with TOKEN; or, with --new and the hub's data directory, make a token."""
    from shared.rig.client import ApiClient, daemon_address, operator_token

    assert data_dir is not None

    async def ask() -> Any:
        async with ApiClient(daemon_address(data_dir), operator_token(data_dir)) as client:
            if new is not None:
                return await client.post("/enrolment-tokens", {"site_name": new})
            return await client.post("/enrol", {"token": token})

    found = _run(ask())
    if json:
        _print_json(found)
    elif new is not None:
        print(found["token"])
    else:
        print(f"The site '{found['site_name']}' is enrolled.")


# --- demo and bench -----------------------------------------------------------------------------------------------------


@main.command
def demo(
    *,
    data_dir: Annotated[Path, Parameter(help="Where the demo keeps its data and goes on from.")] = Path("demo-data"),
    headless: Annotated[bool, Parameter(help="Print a report after --for seconds and end.", negative="")] = False,
    for_: Annotated[float, Parameter(name="--for", help="Seconds from the pairing to the report.")] = 10.0,
    hub_port: Annotated[int | None, Parameter(help="TCP port of the hub.")] = None,
    source_port: Annotated[int | None, Parameter(help="TCP port of the source site.")] = None,
    target_port: Annotated[int | None, Parameter(help="TCP port of the target site.")] = None,
    json: Json = False,
) -> None:
    """Run a hub and two paired sites on this machine, with this machine's readings."""
    from shared.rig.demo import PORTS, Demo, take_ports

    wanted = {"hub": hub_port, "plant": source_port, "office": target_port}
    assert set(wanted) == set(PORTS)

    def say(line: str) -> None:
        print(line, file=sys.stderr if json else sys.stdout, flush=True)

    async def run() -> bool:
        stage = Demo(data_dir.absolute(), say, take_ports(wanted))
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            addresses = await stage.start()
            if not headless:
                for line in addresses.lines():
                    say(line)
            watching = asyncio.ensure_future(stage.watch())
            stopping = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait(
                {watching, stopping}, timeout=for_ if headless else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (watching, stopping):
                task.cancel()
            if watching in done:
                await watching
            if not headless:
                return True
            report = await stage.report()
            if json:
                _print_json(report)
            else:
                say(str(report))
            return bool(report["paired"] and report["target"]["applied"] > 0)
        finally:
            say("Stopping ...")
            with suppress(asyncio.CancelledError):
                await stage.stop()

    if not _run(run()):
        raise SystemExit(_EXIT_FAILED)


@bench_app.command(name="stream")
def bench_stream(
    *,
    readings: Annotated[int, Parameter(help="Readings to send.")] = 200_000,
    batch: Annotated[int, Parameter(help="Readings in one request.")] = 500,
    json: Json = False,
) -> None:
    """Measure readings per second from HTTP at the source to queryable and durable at the target."""
    from shared.rig.bench_stream import measure

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = _run(measure(readings, batch, say))
    if json:
        _print_json(found)
    else:
        for name, value in found.items():
            print(f"{name:20} {value}")


@main.command
def version(*, json: Json = False) -> None:
    """Print the version."""
    if json:
        _print_json({"version": _version()})
    else:
        print(f"pairhub {_version()}")


if __name__ == "__main__":
    main()
