"""Answers requests over NATS with what they bring, in a process of its own that `bench peers` starts and ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from shared.rig.peers.nats import ASKED, client_module


async def _answer(port: int) -> None:
    connection = await client_module().connect(f"nats://127.0.0.1:{port}")

    async def respond(message: Any) -> None:
        await message.respond(message.data)

    await connection.subscribe(ASKED, cb=respond)
    await connection.flush()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(int(sys.argv[1])))
