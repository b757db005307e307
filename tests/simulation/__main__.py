"""`python -m tests.simulation --seeds FROM:TO --json`: run seeds, print what came of them, exit 1 where one failed."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from typing import Final

from shared.provenance import provenance
from tests.simulation.run import Outcome, run_seeds

_PROGRESS_S: Final = 10.0


def main() -> int:
    """Run the seeds FROM (included) to TO (excluded)."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:2000", metavar="FROM:TO", help="FROM included, TO excluded")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trace", action="store_true", help="print what happened, the last 400 lines of each failure")
    parser.add_argument(
        "--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="one for each core if not said"
    )
    options = parser.parse_args()
    first, last = (int(part) for part in options.seeds.split(":"))
    code = provenance()
    began_s, began_cpu_s = time.perf_counter(), _cpu_s()
    failed: list[Outcome] = []
    fired: Counter[str] = Counter()
    told_s = began_s
    outcomes = run_seeds(range(first, last), processes=options.processes, keep_trace=options.trace)
    for done, outcome in enumerate(outcomes):
        if (now_s := time.perf_counter()) - told_s >= _PROGRESS_S:
            told_s = now_s
            print(f"{done} of {last - first} seeds, {len(failed)} failed", file=sys.stderr, flush=True)
        fired += outcome.fired
        if outcome.violations:
            failed.append(outcome)
            print("\n".join((*outcome.trace, str(outcome))), file=sys.stderr, flush=True)
    result = {
        "seeds": last - first,
        "violations": len(failed),
        "seeds_per_s": round((last - first) / (time.perf_counter() - began_s), 1),
        "cpu_ms_per_seed": round((_cpu_s() - began_cpu_s) / (last - first) * 1_000, 1),
        "failed": [outcome.seed for outcome in failed[:100]],
        "fired": dict(sorted(fired.items())),
    } | code
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 1 if failed else 0


def _cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
