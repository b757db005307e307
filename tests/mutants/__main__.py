"""`python -m tests.mutants --json`: put deliberate bugs in, one at a time, and see each caught; exit 1 where one is not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.bugs import Stale, all_bugs
from tests.mutants.hunt import Hunt, hunt


def main() -> int:
    """Hunt all bugs, or those named.

    Exit 0: all are caught; 1: one lives; 2: a list does not fit the code, or the code fails without any bug.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these bugs only")
    parser.add_argument("--seeds", type=int, default=400, help="seeds of the simulation for each bug, at most")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="bugs hunted at the same time")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    bugs = [bug for bug in all_bugs() if not options.only or bug.name in options.only]
    if unknown := set(options.only) - {bug.name for bug in bugs}:
        parser.error(f"no bug is named {', '.join(sorted(unknown))}")
    try:
        for bug in bugs:
            bug.source()
    except Stale as stale:
        print(stale, file=sys.stderr)
        return 2
    if (honest := hunt(None, min(options.seeds, 40))).caught_by:
        print(f"the code fails without any bug, by its {honest.caught_by}: {honest.word}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(options.processes) as pool:
        hunts = []
        for found in pool.map(lambda bug: hunt(bug, options.seeds), bugs):
            hunts.append(found)
            print(_line(found, len(hunts), len(bugs)), file=sys.stderr, flush=True)
    result = _result(hunts)
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0 if result["caught"] == result["mutants"] else 1


def _line(found: Hunt, at: int, of: int) -> str:
    fate = f"caught by {found.caught_by}" if found.caught_by else "NOT CAUGHT"
    return f"[{at}/{of}] {found.name}: {fate} after {found.seconds} s  {found.word}"


def _result(hunts: list[Hunt]) -> dict[str, object]:
    by = {way: sum(found.caught_by == way for found in hunts) for way in ("seeds", "stories", "core", "tests")}
    return {
        "mutants": len(hunts),
        "caught": sum(bool(found.caught_by) for found in hunts),
        "by": by,
        "alive": [found.name for found in hunts if not found.caught_by],
    }


if __name__ == "__main__":
    sys.exit(main())
