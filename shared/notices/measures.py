"""How notices fare, to Prometheus."""

from __future__ import annotations

from typing import Final

from shared.metrics import Filled, Measure
from shared.notices.desk import ChannelStatus

NOTICE_MEASURES: Final = (
    Measure("pairhub_notices_waiting", "gauge", "Notices that wait to be delivered", ("channel",)),
    Measure("pairhub_notices_delivered_total", "counter", "Notices delivered since the start", ("channel",)),
    Measure("pairhub_notices_lost_total", "counter", "Notices given up since the start", ("channel",)),
    Measure("pairhub_notices_failing", "gauge", "1 while the last attempt to deliver failed", ("channel",)),
)


def put_notices(filled: Filled, channels: list[ChannelStatus]) -> None:
    """Say how each channel fares."""
    for each in channels:
        filled.put("pairhub_notices_waiting", each.waiting, each.channel)
        filled.put("pairhub_notices_delivered_total", each.delivered, each.channel)
        filled.put("pairhub_notices_lost_total", each.lost, each.channel)
        filled.put("pairhub_notices_failing", bool(each.problem), each.channel)
