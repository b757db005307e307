"""`pairhub chaos`: a minute of everything going wrong with three real daemons, and nothing lost, doubled or unequal."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any


async def chaos(*words: str) -> tuple[int, dict[str, Any], str]:
    """Run the command; return exit code, what it printed, and what it told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pairhub", "chaos", "--json", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, told = await process.communicate()
    return process.returncode or 0, json.loads(printed or b"{}"), told.decode()


async def test_n6_a_minute_of_chaos_loses_doubles_and_forgets_nothing(tmp_path: Path) -> None:
    code, found, told = await chaos("--minutes", "1", "--seed", "4", "--keep", str(tmp_path / "kept"))

    assert code == 0, (found, told[-3_000:])
    assert (found["lost"], found["duplicated"], found["unaccounted"], found["edits_unequal"]) == (0, 0, 0, 0), found
    assert found["kills"] >= 3
    assert found["cuts"] >= 1
    assert found["readings"] >= 60_000
    assert found["edits"] >= 20
    assert found["lookups"] >= 20
