"""What rows of the outbox say of history."""

from __future__ import annotations

import pytest

from connector.outbox_rows import pack_spans, unpack_spans
from connector.pair_rows import pack


@pytest.mark.parametrize("version", [1, 2])
def test_where_a_segment_is_in_history_is_read_as_this_and_the_last_release_wrote_it(version: int) -> None:
    spans = [(7, 1_000, 61_000), (9, 990, 60_990), (8, 1_005, 1_005)]
    lengths = [60_000, 60_000, 0] if version == 1 else [60_000, 0, -60_000]
    packed = pack((version, [7, 2, -1], [1_000, -10, 15], lengths))
    assert unpack_spans(packed) == spans
    if version == 2:
        assert pack_spans(spans) == packed
