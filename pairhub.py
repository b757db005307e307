"""The command line; composes the rest, holds no rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import App, Parameter

from connector.settings import SETTINGS_NAME as SITE_NAME
from connector.settings import SiteSettings
from hub.settings import SETTINGS_NAME as HUB_NAME
from hub.settings import HubSettings
from shared.allocator import give_memory_back
from shared.command_line import DataDir, Json, measured, print_json, progress, run_to_end, told_in_words
from shared.exit_codes import ExitCode
from shared.provenance import version as release
from shared.rig.commands import bench_app, rig_app
from shared.service_manager import this_process
from shared.settings import Loaded, SettingWrong, load
from shared.settings_flags import takes_settings

if TYPE_CHECKING:
    from shared.backup import Belongings
    from shared.doctor.findings import Finding

T = TypeVar("T")


main = App(
    name="pairhub",
    help="Pair two sites through a hub and stream readings from one to the other, losing none.",
    version=release,
    help_format="plaintext",
)
hub_app = App(name="hub", help="The hub that both sites dial.")
site_app = App(name="site", help="The daemon of one site.")
config_app = App(name="config", help="What a daemon would run with.")
show_app = App(name="show", help="Every setting, its value, and where that comes from. Secrets are left out.")
config_app.command(show_app)
doctor_app = App(name="doctor", help="Look at everything that a daemon needs, and say what to do where it is not well.")
for part in (hub_app, site_app, config_app, doctor_app):
    main.command(part)
main.command(rig_app, name="*")  # demo, bench, chaos, replay

Config = Annotated[Path | None, Parameter(help="TOML file with a [hub] or [site] table.")]


def _load(kind: type[T], name: str, config: Path | None, flags: Mapping[str, object | None]) -> Loaded[T]:
    with told_in_words():
        return _load_from(kind, name, config, flags)


def _load_from(kind: type[T], name: str, config: Path | None, flags: Mapping[str, object | None]) -> Loaded[T]:
    """Put the settings of a daemon together; raises SettingWrong."""
    return load(kind, name=name, file=config, environ=os.environ, flags=flags)


# --- hub and site -------------------------------------------------------------------------------------------------------


@hub_app.command(name="serve")
@takes_settings(HubSettings, name=HUB_NAME)
def hub_serve(*, config: Config = None, **flags: str | None) -> None:
    """Run a hub until SIGTERM or Ctrl-C."""
    give_memory_back()
    from hub.serve import serve
    from shared.logs import set_up_logging

    settings = _load(HubSettings, HUB_NAME, config, flags).settings
    set_up_logging(settings.log_level, settings.log_format)

    def ready(url: str) -> None:
        print(f"The hub listens at {url}", flush=True)
        _print_setup(settings.public_url.rstrip("/") or url, settings.data_dir)

    run_to_end(serve(settings, ready=ready, manager=this_process()))


@site_app.command(name="serve")
@takes_settings(SiteSettings, name=SITE_NAME)
def site_serve(*, config: Config = None, **flags: str | None) -> None:
    """Run a site until SIGTERM or Ctrl-C."""
    give_memory_back()
    from connector.serve import RunningSite, serve
    from shared.logs import set_up_logging

    settings = _load(SiteSettings, SITE_NAME, config, flags).settings
    set_up_logging(settings.log_level, settings.log_format)

    def ready(running: RunningSite) -> None:
        print(f"The site '{running.site.identity.site_name}' listens at {running.url}", flush=True)
        _print_setup(settings.public_url.rstrip("/") or running.url, settings.data_dir)

    run_to_end(serve(settings, ready, manager=this_process()))


def _print_setup(url: str, data_dir: Path) -> None:
    """While nobody has set the daemon up, say how: the one-time token is for the owner of this console."""
    token = data_dir / "setup.token"
    if token.exists():
        if this_process().listens:  # what is printed goes to the journal, which more people may read than this file
            print(f"Set it up once: {url}/setup, with the token in {token}", flush=True)
        else:
            print(f"Set it up once: {url}/setup?token={token.read_text(encoding='utf-8').strip()}", flush=True)


@show_app.command(name="hub")
@takes_settings(HubSettings, name=HUB_NAME)
def config_show_hub(*, config: Config = None, json: Json = False, **flags: str | None) -> None:
    """Show the settings that `pairhub hub serve` would have with the same file, environment and flags."""
    _show(HubSettings, HUB_NAME, _load(HubSettings, HUB_NAME, config, flags), json=json)


@show_app.command(name="site")
@takes_settings(SiteSettings, name=SITE_NAME)
def config_show_site(*, config: Config = None, json: Json = False, **flags: str | None) -> None:
    """Show the settings that `pairhub site serve` would have with the same file, environment and flags."""
    _show(SiteSettings, SITE_NAME, _load(SiteSettings, SITE_NAME, config, flags), json=json)


def _show(kind: type[object], name: str, loaded: Loaded[Any], *, json: bool) -> None:
    from shared.settings_report import report, report_lines

    rows = report(kind, loaded, name=name)
    if json:
        print_json({row.name: {"value": row.value, "source": row.source} for row in rows})
    else:
        print("\n".join(report_lines(rows)))


@doctor_app.command(name="hub")
@takes_settings(HubSettings, name=HUB_NAME)
def doctor_hub(*, config: Config = None, json: Json = False, **flags: str | None) -> None:
    """Examine a hub with the settings that `pairhub hub serve` would have; it may be running."""
    from hub.doctor import examine

    _diagnose(lambda: examine(_load_from(HubSettings, HUB_NAME, config, flags).settings), json=json)


@doctor_app.command(name="site")
@takes_settings(SiteSettings, name=SITE_NAME)
def doctor_site(*, config: Config = None, json: Json = False, **flags: str | None) -> None:
    """Examine a site with the settings that `pairhub site serve` would have; it may be running."""
    from connector.doctor import examine

    _diagnose(lambda: examine(_load_from(SiteSettings, SITE_NAME, config, flags).settings), json=json)


def _diagnose(examine: Callable[[], Coroutine[Any, Any, list[Finding]]], *, json: bool) -> None:
    from shared.doctor.findings import any_failed, failed, finding_lines

    try:
        found = run_to_end(examine())
    except SettingWrong as wrong:
        found = [failed("configuration", str(wrong), "correct the setting where it comes from")]
    if json:
        print_json([{field: getattr(one, field) for field in one.__struct_fields__} for one in found])
    else:
        print("\n".join(finding_lines(found)))
    if any_failed(found):
        raise SystemExit(ExitCode.FAILED)


@main.command
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell to complete in.")]) -> None:
    """Print what makes a shell complete the commands and flags of pairhub.

    bash: source <(pairhub completion bash). zsh: into a directory of $fpath, as _pairhub. fish: into
    ~/.config/fish/completions/pairhub.fish.
    """
    print(main.generate_completion(prog_name="pairhub", shell=shell))


@main.command
def units(
    *, write: Annotated[Path | None, Parameter(help="Directory to write them to, such as /etc/systemd/system.")] = None
) -> None:
    """Print the systemd units of hub and site, which start this very installation; or write them into a directory."""
    from shared.units import unit_texts, write_units

    with told_in_words():
        texts = unit_texts(Path(sys.executable).parent / "pairhub")
        if write is None:
            print("\n".join(texts.values()))
        else:
            print("\n".join(map(str, write_units(texts, write))))


# --- asking running daemons ---------------------------------------------------------------------------------------------


@main.command
def status(*, data_dir: DataDir = Path("site-data"), json: Json = False) -> None:
    """Show the state of the site or hub that runs with this data directory."""
    from shared.rig.client import local_client
    from shared.rig.status_text import status_lines

    assert data_dir is not None

    async def ask() -> Any:
        async with local_client(data_dir) as client:
            return await client.get("/status")

    found = run_to_end(ask())
    if json:
        print_json(found)
    else:
        print("\n".join(status_lines(found)))


@main.command
def diagnostics(
    *,
    output: Annotated[Path, Parameter(help="File to write the bundle to; one that is there is not touched.")],
    data_dir: DataDir = Path("site-data"),
    json: Json = False,
) -> None:
    """Write a bundle of diagnostics of the running site into one zip: no secrets, no readings, no names of people."""
    from shared.private_files import write_new
    from shared.rig.client import local_client

    assert data_dir is not None

    async def ask() -> bytes:
        async with local_client(data_dir) as client:
            return await client.download("/diagnostics")

    bundle = run_to_end(ask())
    with told_in_words():
        write_new(output, bundle)
    if json:
        print_json({"file": str(output), "bytes": len(bundle)})
    else:
        print(f"{output}: {len(bundle)} bytes")


@main.command(name="test-notice")
def send_test_notice(*, data_dir: DataDir = Path("site-data"), json: Json = False) -> None:
    """Send a test notice by webhook and mail server of the running site or hub; fails where one does not take it."""
    from shared.rig.client import local_client

    assert data_dir is not None

    async def ask() -> Any:
        async with local_client(data_dir) as client:
            return await client.post("/notices/test")

    found = run_to_end(ask())
    if json:
        print_json(found)
    elif not found:
        print("No notices are set: neither webhook_url nor smtp_host.")
    for each in [] if json else found:
        print(f"{each['channel']}: {each['problem'] or 'delivered'}")
    if not found or any(each["problem"] for each in found):
        raise SystemExit(ExitCode.FAILED)


@main.command
def enrol(
    token: Annotated[str, Parameter(help="The token from the hub's operator; empty where enrolment is open.")] = "",
    *,
    data_dir: DataDir = Path("site-data"),
    new: Annotated[str | None, Parameter(help="At the hub: make a token for a site of this name.")] = None,
    json: Json = False,
) -> None:
    """Enrol the running site at its hub with TOKEN; or, with --new and the hub's data directory, make a token."""
    from shared.rig.client import local_client

    assert data_dir is not None

    async def ask() -> Any:
        async with local_client(data_dir) as client:
            if new is not None:
                return await client.post("/enrolment-tokens", {"site_name": new})
            return await client.post("/enrol", {"token": token})

    found = run_to_end(ask())
    if json:
        print_json(found)
    elif new is not None:
        print(found["token"])
    else:
        print(f"The site '{found['site_name']}' is enrolled.")


# --- backup and restore -------------------------------------------------------------------------------------------------

KeyFile = Annotated[Path | None, Parameter(help="Key of a hub that is not beside its data directory.")]
PassphraseFile = Annotated[
    Path | None, Parameter(help="Its first line seals the backup; so does PAIRHUB_BACKUP_PASSPHRASE.")
]


@main.command
def backup(
    file: Annotated[Path, Parameter(help="The backup: a new file; with --check, one that is there.")],
    *,
    data_dir: DataDir = Path("site-data"),
    check: Annotated[bool, Parameter(help="Only read FILE, and compare it with its manifest.", negative="")] = False,
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Write database, keys and certificates of a site or hub into FILE, checked; the daemon may be running.

    Whoever has FILE can be this site or hub: keep it as you keep keys, or seal it with a passphrase.
    """
    from shared.backup import check as read_through
    from shared.backup import take
    from shared.backup_words import manifest_json, manifest_line, read_passphrase, shown_progress

    assert data_dir is not None
    with told_in_words(), shown_progress(sys.stderr) as progress:
        passphrase = read_passphrase(passphrase_file, os.environ)
        if check:
            manifest = read_through(file, passphrase, progress=progress)
        else:
            whose = _belongings(data_dir, key_file)
            manifest = take(whose, file, version=release(), passphrase=passphrase, progress=progress)
    if json:
        print_json(manifest_json(file, manifest))
    else:
        print(manifest_line(f"{file} is whole" if check else f"Wrote {file}", manifest))


@main.command
def restore(
    file: Annotated[Path, Parameter(help="The backup.")],
    *,
    data_dir: Annotated[Path, Parameter(help="Data directory to restore into; no daemon may run there.")],
    replace: Annotated[bool, Parameter(help="Move aside what is there already.", negative="")] = False,
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    """Put the backup FILE into an empty data directory. Everybody has to log in anew afterwards.

    Never let what it was taken of run beside what is restored.
    """
    from shared.backup import read_manifest
    from shared.backup_words import manifest_json, manifest_line, read_passphrase, shown_progress
    from shared.restore import restore as put_back

    with told_in_words(), shown_progress(sys.stderr) as progress:
        passphrase = read_passphrase(passphrase_file, os.environ)
        whose = _belongings(data_dir, key_file, kind=read_manifest(file, passphrase).kind)
        manifest = put_back(whose, file, passphrase=passphrase, replace=replace, progress=progress)
    if json:
        print_json(manifest_json(file, manifest))
    else:
        print(manifest_line(f"Restored {data_dir}", manifest))


def _belongings(data_dir: Path, key_file: Path | None, kind: str = "") -> Belongings:
    """Return what makes up the hub or the site of a data directory: of the kind named, or that is there."""
    from connector.backup import belongings as of_site
    from hub.backup import belongings as of_hub

    hub = of_hub(data_dir, key_file)
    return hub if kind == "hub" or (not kind and hub.database_path.exists()) else of_site(data_dir)


# --- benches that ask as a library -----------------------------------------------------------------------------------------


@bench_app.command(name="lookup")
def bench_lookup(
    *,
    devices: Annotated[int, Parameter(help="Devices of the connector.")] = 10_000,
    lookups: Annotated[int, Parameter(help="Lookups of one device, one after the other.")] = 5_000,
    json: Json = False,
) -> None:
    """Measure live lookups across the pair, asked as a library: one device, and a page of 50."""
    from connector.bench_lookup import measure

    measured(measure(devices, lookups, progress), json=json)


@bench_app.command(name="peers")
def bench_peers(
    *,
    readings: Annotated[int, Parameter(help="Readings that go 500 in a request or message.")] = 500_000,
    single: Annotated[int, Parameter(help="Readings that go one in a line or message.")] = 100_000,
    lookups: Annotated[int, Parameter(help="Lookups, and requests across, one after the other.")] = 3_000,
    rounds: Annotated[int, Parameter(help="Rounds whose medians are taken.")] = 3,
    json: Json = False,
) -> None:
    """Measure Pairhub beside NATS JetStream and a Mosquitto bridge on the same work, in turn, in one run."""
    from connector import bench_lookup
    from shared.rig.bench_peers import measure

    async def look_up(count: int) -> float:
        return float((await bench_lookup.measure(10_000, count, lambda _: None))["p50_ms"])

    measured(measure(readings, single, lookups, rounds, look_up, progress), json=json)


@main.command
def version(*, json: Json = False) -> None:
    """Print the version."""
    if json:
        print_json({"version": release()})
    else:
        print(f"pairhub {release()}")


if __name__ == "__main__":
    main()
