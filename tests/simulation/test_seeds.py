"""Many seeds of trouble: nothing is lost, nothing comes twice, the account balances, and both sides end equal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.simulation.run import FAULTS, run_seed

pytestmark = pytest.mark.simulation
_CHUNKS, _SEEDS = 10, 500


@pytest.mark.parametrize("chunk", range(_CHUNKS))  # tests/conftest.py spreads them over processes
def test_both_ends_come_out_equal_and_accounted_for_whatever_goes_wrong(chunk: int) -> None:
    size = _SEEDS // _CHUNKS
    failed = []
    for seed in range(chunk * size, (chunk + 1) * size):
        outcome = run_seed(seed)
        if outcome.violations:
            failed.append(
                f"seed {seed} ({', '.join(outcome.chosen)}): {outcome.violations[0]}"
                f"\n  replay: python -m tests.simulation --seeds {seed}:{seed + 1} --trace"
            )
    assert not failed, "\n".join(failed)


def test_every_fault_happens_within_a_few_seeds() -> None:
    missing = {*FAULTS, "device_deleted"}
    for seed in range(80):
        missing -= run_seed(seed).fired.keys()
        if not missing:
            break
    assert not missing


def test_a_seed_makes_the_same_run_in_every_process() -> None:
    script = (
        "from tests.simulation.run import run_seed; import json;"
        "print(json.dumps([run_seed(seed).digest for seed in (3, 7, 11)]))"
    )
    digests = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", script],
                env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
                check=True,
                capture_output=True,
                timeout=120,
            ).stdout
        )
        for hash_seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3
