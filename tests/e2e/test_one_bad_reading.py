"""One bad reading among a million: it is named, and every other one arrives (N5)."""

from __future__ import annotations

from tests.e2e.conftest import SAME_LOOP
from tests.e2e.stage import START_MS, Stage

pytestmark = SAME_LOOP

_REQUESTS = 10
_LINES = 100_000  # limits.INGEST_LINES_MAX
_BAD_REQUEST, _BAD_LINE = 6, 54_321


def _body(request: int) -> bytes:
    first_ms = START_MS + request * _LINES
    lines = [
        b'{"device":"pump","resource":"flow","timestamp":%d,"value":%d.5}' % (at, at % 97)
        for at in range(first_ms, first_ms + _LINES)
    ]
    if request == _BAD_REQUEST:
        lines[_BAD_LINE - 1] = lines[_BAD_LINE - 1].replace(b".5}", b'.5"}').replace(b'"value":', b'"value":"')
    return b"\n".join(lines)


async def test_n5_of_a_million_readings_the_bad_one_is_named_and_all_others_arrive(stage: Stage) -> None:
    pair = await stage.pair()
    await pair.sync("flow")
    taken = [
        await pair.source.ask("POST", f"/connectors/{pair.source_id}/readings", _body(request))
        for request in range(_REQUESTS)
    ]

    assert [one["refused"] for one in taken] == [int(request == _BAD_REQUEST) for request in range(_REQUESTS)]
    (refusal,) = taken[_BAD_REQUEST]["refusals"]
    assert (refusal["line"], refusal["code"]) == (_BAD_LINE, "wrong_format")
    await pair.until_balanced(accepted=_REQUESTS * _LINES - 1)
    bad_ms = START_MS + _BAD_REQUEST * _LINES + _BAD_LINE - 1
    query = f"device=pump&resource=flow&from={bad_ms - 1}&limit=2"
    around = (await pair.target.get(f"/connectors/{pair.target_id}/readings?{query}"))["readings"]
    assert [row[0] for row in around] == [bad_ms - 1, bad_ms + 1]
