"""What `bench peers` compares with: the messages it sends to the others, and what it says where one is missing."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import PairhubError
from shared.rig.bench_peers import _payloads, _ratios
from shared.rig.peers import mosquitto, nats
from shared.rig.peers.mosquitto import Mosquitto
from shared.rig.peers.nats import Nats
from shared.rig.peers.windowed import send_all


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 3, 11, 1_000])
def test_acknowledgements_of_nats_are_counted_however_they_are_cut(size: int) -> None:
    one = b'MSG _INBOX.bench.1 1 26\r\n{"stream":"TEL","seq":123}\r\n'
    counting = nats._Acknowledgements()
    assert sum(counting.count(piece) for piece in in_pieces(b"INFO {}\r\n" + one * 50, size)) == 50
    with pytest.raises(PairhubError, match="maximum"):
        nats._Acknowledgements().count(one + b'MSG _INBOX.bench.1 1 9\r\n{"error":{"description":"maximum"}}\r\n')


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_acknowledgements_of_mosquitto_are_counted_however_they_are_cut(size: int) -> None:
    counting = mosquitto._Acknowledgements()
    data = b"\x20\x02\x00\x00" + b"".join(b"\x40\x02" + struct.pack(">H", at) for at in range(50))
    assert sum(counting.count(piece) for piece in in_pieces(data, size)) == 50
    with pytest.raises(PairhubError, match="refused"):
        mosquitto._Acknowledgements().count(b"\x20\x02\x00\x05")


def test_peers_get_the_very_readings_that_we_get() -> None:
    ones, many = _payloads(7, 1), _payloads(7, 3)
    assert b",".join(ones) == b",".join(each[1:-1] for each in many)
    assert nats.publish(b"{}") == b"PUB telemetry.x _INBOX.bench.1 2\r\n{}\r\n"
    assert mosquitto.publish(b"t", b"x" * 200, 0)[:8] == b"\x32\xcd\x01\x00\x01t\x00\x01"


def test_ratios_are_of_medians_and_a_lookup_that_takes_longer_has_the_greater_one() -> None:
    rounds = {
        "ours_stream500_per_s": [400.0, 500.0, 9_000.0],
        "nats_stream500_per_s": [1_000.0, 1_000.0, 1.0],
        "ours_single_per_s": [300.0],
        "nats_single_per_s": [100.0],
        "mosquitto_single_per_s": [30.0],
        "ours_lookup_p50_ms": [0.6],
        "nats_lookup_p50_ms": [0.5],
    }
    assert _ratios(rounds) == {
        "stream500_ratio": 0.5,
        "single_ratio": 3.0,
        "lookup_ratio": 1.2,
        "mosquitto_ratio": 10.0,
    }


@pytest.mark.parametrize(("peer", "package"), [(Nats, "nats-server"), (Mosquitto, "mosquitto")])
def test_a_peer_that_is_not_installed_is_named_with_its_package(
    peer: Callable[[Path], object], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(PairhubError, match=f"apt-get install {package}"):
        peer(tmp_path)


async def test_a_prepared_message_waits_for_its_window_and_a_peer_that_leaves_is_named() -> None:
    greatest = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal greatest
        await reader.readexactly(2)
        received = acknowledged = 0
        while acknowledged < 16:
            if received < 16:
                received += len(await reader.read(100))
            greatest = max(greatest, received - acknowledged)
            writer.write(b"aa")  # half a window: more than the other half would come if it were not kept
            acknowledged += 2
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await send_all(port, b"hi", [b"m"] * 16, 4, len)
        assert greatest == 4
        with pytest.raises(PairhubError, match="closed the connection"):
            await send_all(port, b"hi", [b"m"] * 17, 4, len)
