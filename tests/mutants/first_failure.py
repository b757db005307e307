"""`python -m tests.mutants.first_failure FROM TO`: run seeds FROM to TO (excluded) until one fails; exit 1 with its word."""

from __future__ import annotations

import sys

from tests.simulation.run import run_seed


def main() -> int:
    """Stop at the first failure, for one is enough to catch a bug."""
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        outcome = run_seed(seed)
        if outcome.violations:
            sys.stdout.write(f"E  seed {seed}: {outcome.violations[0]}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
