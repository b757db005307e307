"""Ranges of time that are sent again."""

from msgspec.structs import replace

from tests.web.samples.frame import CONNECTOR_ID, DAY_MS, HOUR_MS, NOW_MS, RESOURCE_URL, shell
from web import contexts as c

REPLAY_FORM = c.ReplayForm(
    RESOURCE_URL + "/replay", "riverside", True, "2026-11-20T14:00", "", "UTC", "pump-1", is_open=False
)
REPLAY_LIST = c.ReplayList(
    CONNECTOR_ID,
    tuple(
        c.ReplayRow(
            f"{at:016x}",
            state,
            NOW_MS - 3 * DAY_MS,
            NOW_MS - DAY_MS,
            "pressure of pump-1",
            "eva",
            "riverside",
            NOW_MS - HOUR_MS,
            86_400,
            40_960,
            36_864,
            412,
            36_452,
            3 if state == "done" else 0,
            ("level has its Remote-Sync off at the source",) if state in ("done", "refused") else (),
            state in ("asked", "waiting", "running"),
        )
        for at, state in enumerate(c.ReplayStanding)
    ),
)
REPLAYS = c.ReplaysPage(
    shell(c.Section.RESOURCES),
    CONNECTOR_ID,
    REPLAY_LIST,
    replace(
        REPLAY_FORM,
        is_source=False,
        resources=("pressure", "level"),
        chosen=("level",),
        errors={
            "": "It did not work.",
            "to": "It is a time after the first one.",
            "device": "There is no such device.",
        },
        is_open=True,
    ),
)
REPLAYS_NONE = replace(REPLAYS, list=c.ReplayList(CONNECTOR_ID, ()), form=None)
