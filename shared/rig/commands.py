"""Commands that start daemons as a user would: demo, benches, chaos; and posting a file as a device."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.command_line import DataDir, Json, measured, print_json, progress, run_to_end
from shared.exit_codes import ExitCode

rig_app = App()
"""Taken into the command line as it is, without a word of its own."""
bench_app = App(name="bench", help="Measure this machine with the real daemons.")
rig_app.command(bench_app)


@rig_app.command
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
                print_json(report)
            else:
                say(str(report))
            return bool(report["paired"] and report["target"]["applied"] > 0)
        finally:
            say("Stopping ...")
            with suppress(asyncio.CancelledError):
                await stage.stop()

    if not run_to_end(run()):
        raise SystemExit(ExitCode.FAILED)


@rig_app.command
def chaos(
    *,
    minutes: Annotated[float, Parameter(help="How long faults happen.")] = 1.0,
    seed: Annotated[int, Parameter(help="Which faults happen, and when.")] = 1,
    keep: Annotated[
        Path | None, Parameter(help="A folder for data and logs, which stay; else they are deleted.")
    ] = None,
    json: Json = False,
) -> None:
    """Run hub and two sites under load, kill, cut, fill and shift them, then look for every reading.

    Exit code 1 where a reading was lost, doubled or is not accounted for, or where the two sides differ.
    """
    from shared.rig.chaos.run import measure

    found = measured(measure(minutes, seed, progress, keep), json=json)
    if not found["clean"]:
        raise SystemExit(ExitCode.FAILED)


@rig_app.command
def replay(
    file: Annotated[Path, Parameter(help="CSV with a time and a value in each line; UTC where no zone is named.")],
    *,
    device: Annotated[str, Parameter(help="Identity of the device that reports them.")],
    resource: Annotated[str, Parameter(help="Alias of the resource.")],
    connector: Annotated[str, Parameter(help="Connector ID; not needed where there is only one.")] = "",
    data_dir: DataDir = Path("site-data"),
    url: Annotated[str, Parameter(help="Address of the site, instead of --data-dir; needs a key.")] = "",
    key: Annotated[str, Parameter(env_var="PAIRHUB_API_KEY", help="API key for --url.", show_default=False)] = "",
    speed: Annotated[float, Parameter(help="1 is the pace of the file, 60 a minute a second, 0 all at once.")] = 1.0,
    at_once: Annotated[bool, Parameter(help="The same as --speed 0.", negative="")] = False,
    shift_to_now: Annotated[bool, Parameter(help="Move all times so that they are of now.", negative="")] = False,
    create: Annotated[bool, Parameter(help="Create device and resource where missing.", negative="")] = False,
    json: Json = False,
) -> None:
    """Post the readings of FILE as a device, at the pace of their times, faster, or at once.

    Rows that are no readings are named and skipped. Starting it again is harmless: what is there already is counted as
    repeated.
    """
    from shared.rig.client import ApiClient, local_client
    from shared.rig.replay import Replay, Wish
    from shared.rig.replay_progress import progress_on, summary_lines

    assert data_dir is not None
    wish = Wish(file, device, resource, connector, 0.0 if at_once else speed, shift_to_now, create)
    bar = progress_on(sys.stderr)

    async def run() -> Any:
        async with ApiClient(url.rstrip("/"), key) if url else local_client(data_dir) as client:
            return await Replay(wish, client, bar).run()

    try:
        found = run_to_end(run())
    finally:
        bar.close()
    if json:
        print_json(found)
    else:
        print("\n".join(summary_lines(found)))
    if not found.accepted + found.repeated:
        raise SystemExit(ExitCode.FAILED)


@bench_app.command(name="stream")
def bench_stream(
    *,
    readings: Annotated[int, Parameter(help="Readings to send; 0 to weigh only what the options name.")] = 200_000,
    batch: Annotated[int, Parameter(help="Readings in one request.")] = 500,
    outage: Annotated[int, Parameter(help="Readings to weigh, posted one by one to a source without its target.")] = 0,
    series: Annotated[Path | None, Parameter(help="Folder of CSV files (timestamp,value) to weigh.")] = None,
    json: Json = False,
) -> None:
    """Measure readings per second from HTTP at the source to queryable and durable at the target."""
    from shared.rig.bench_stream import measure

    measured(measure(readings, batch, progress, outage=outage, series=series), json=json)


@bench_app.command(name="live")
def bench_live(
    *,
    readings: Annotated[int, Parameter(help="Readings to send, after two seconds of others.")] = 2_000,
    per_s: Annotated[float, Parameter(help="Readings per second, one in a request.")] = 100.0,
    json: Json = False,
) -> None:
    """Measure how long one reading takes from accepted at the source to applied at the target."""
    from shared.rig.bench_live import measure

    measured(measure(readings, per_s, progress), json=json)


@bench_app.command(name="drain")
def bench_drain(
    *,
    behind: Annotated[int, Parameter(help="Readings that wait when the network comes back.")] = 1_000_000,
    json: Json = False,
) -> None:
    """Measure live readings and lookups while a backlog drains, and how soon all flows again."""
    from shared.rig.bench_drain import measure

    measured(measure(behind, progress), json=json)


@bench_app.command(name="growth")
def bench_growth(
    *,
    readings: Annotated[
        int, Parameter(help="Readings in history, and behind, that are compared with few.")
    ] = 50_000_000,
    json: Json = False,
) -> None:
    """Measure whether a reading costs more with much in history, or behind."""
    from shared.rig.bench_growth import measure

    measured(measure(readings, progress), json=json)


@bench_app.command(name="pairs")
def bench_pairs(
    *,
    pairs: Annotated[int, Parameter(help="Pairs between the two sites.")] = 200,
    seconds: Annotated[float, Parameter(help="How long to send, after two seconds of warming up.")] = 10.0,
    json: Json = False,
) -> None:
    """Measure live readings on many pairs at once: 500 readings a second each, 50 in a request."""
    from shared.rig.bench_pairs import measure

    measured(measure(pairs, seconds, progress), json=json)


@bench_app.command(name="idle")
def bench_idle(
    *,
    links: Annotated[int, Parameter(help="Links, two for each pair.")] = 2_000,
    settle_s: Annotated[float, Parameter(help="Seconds from the last link to the weighing.")] = 5.0,
    watch_s: Annotated[float, Parameter(help="Seconds for which the hub's processor time is watched.")] = 10.0,
    json: Json = False,
) -> None:
    """Measure what a quiet link costs the hub in memory."""
    from shared.rig.bench_idle import measure

    measured(measure(links, progress, settle_s=settle_s, watch_s=watch_s), json=json)
