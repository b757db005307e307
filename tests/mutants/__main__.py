"""`python -m tests.mutants --json`: put deliberate bugs in, one at a time, and see each caught; exit 1 where one is not."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from shared.provenance import provenance
from tests.mutants.bugs import Bug, Stale, all_bugs
from tests.mutants.hunt import WAYS, Hunt, honest_failure, hunt
from tests.mutants.tree import Tree


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
    code = provenance()
    began_s, hunts = time.perf_counter(), list[Hunt]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        honest = Tree(Path(folder) / "0")
        try:
            for bug in bugs:
                bug.source(honest.folder)
        except Stale as stale:
            print(stale, file=sys.stderr)
            return 2
        if word := honest_failure(bugs, honest, options.processes):
            print(f"the code fails without any bug, by its {word}", file=sys.stderr)
            return 2
        print(f"without any bug all passes, {time.perf_counter() - began_s:.0f} s", file=sys.stderr, flush=True)
        trees = [honest, *(Tree(Path(folder) / str(at), honest.folder) for at in range(1, options.processes))]
        for found in _hunt_all(bugs, trees, options.seeds):
            hunts.append(found)
            print(_line(found, len(hunts), len(bugs)), file=sys.stderr, flush=True)
    result = _result(hunts) | {"seconds": round(time.perf_counter() - began_s), "cpu_s": round(_cpu_s())} | code
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0 if result["caught"] == result["mutants"] else 1


def _hunt_all(bugs: Sequence[Bug], trees: Sequence[Tree], seeds: int) -> Iterator[Hunt]:
    """Hunt as many bugs at the same time as there are trees; yield them in their order."""
    free = SimpleQueue[Tree]()
    for tree in trees:
        free.put(tree)

    def one(bug: Bug) -> Hunt:
        tree = free.get()
        try:
            return hunt(bug, tree, seeds)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from pool.map(one, bugs)


def _line(found: Hunt, at: int, of: int) -> str:
    fate = f"caught by {found.caught_by}" if found.caught_by else "NOT CAUGHT"
    return f"[{at}/{of}] {found.name}: {fate} after {found.seconds} s  {found.word}"


def _result(hunts: Sequence[Hunt]) -> dict[str, object]:
    return {
        "mutants": len(hunts),
        "caught": sum(bool(found.caught_by) for found in hunts),
        "by": {way: sum(found.caught_by == way for found in hunts) for way in WAYS},
        "alive": [found.name for found in hunts if not found.caught_by],
    }


def _cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
