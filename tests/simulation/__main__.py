"""`python -m tests.simulation --seeds FROM:TO --json`: run seeds, print what came of them, exit 1 where one failed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

from tests.simulation.run import run_seed


def main() -> int:
    """Run the seeds FROM (included) to TO (excluded)."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:500", metavar="FROM:TO", help="FROM included, TO excluded")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trace", action="store_true", help="print what happened, the last 400 lines of each failure")
    options = parser.parse_args()
    first, last = (int(part) for part in options.seeds.split(":"))
    began_s = time.perf_counter()
    failures = []
    fired: Counter[str] = Counter()
    for seed in range(first, last):
        outcome = run_seed(seed, keep_trace=options.trace)
        fired += outcome.fired
        if outcome.violations:
            failures.append(outcome)
            if options.trace:
                print("\n".join(outcome.trace), file=sys.stderr)
            print(f"seed {seed}, faults {', '.join(outcome.chosen) or 'none'}:", file=sys.stderr)
            for violation in outcome.violations[:5]:
                print(f"  {violation[:600]}", file=sys.stderr)
            print(f"  replay: python -m tests.simulation --seeds {seed}:{seed + 1} --trace", file=sys.stderr)
    seeds_per_s = (last - first) / (time.perf_counter() - began_s)
    result = {
        "seeds": last - first,
        "violations": len(failures),
        "seeds_per_s": round(seeds_per_s, 1),
        "failed": [outcome.seed for outcome in failures[:100]],
        "fired": dict(sorted(fired.items())),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
