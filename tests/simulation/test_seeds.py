"""Many seeds of trouble: nothing is lost, nothing comes twice, the account balances, and both sides end equal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation import resource_accounts
from tests.simulation.faults import FAULTS
from tests.simulation.run import failures, faults_of, run_seed
from tests.simulation.shell import Shell

pytestmark = pytest.mark.simulation
_CHUNKS, _SEEDS = 80, 2_000


@pytest.mark.parametrize("chunk", range(_CHUNKS))  # tests/conftest.py spreads them over processes
def test_both_ends_come_out_equal_and_accounted_for_whatever_goes_wrong(chunk: int) -> None:
    size = _SEEDS // _CHUNKS
    failed = failures(range(chunk * size, (chunk + 1) * size))
    assert not failed, "\n".join(map(str, failed))


def _seeds_with_all_faults() -> list[int]:
    """A few seeds that choose every fault between them."""
    seeds: list[int] = []
    missing = set(FAULTS)
    while missing:
        seeds.append(max(range(200), key=lambda seed: len(missing.intersection(faults_of(seed)))))
        missing.difference_update(faults_of(seeds[-1]))
    return seeds


def test_every_fault_happens_within_a_few_seeds() -> None:
    missing = {*FAULTS, "device_deleted", "duplicate_refused"}
    for seed in (*_seeds_with_all_faults(), *range(60)):
        missing -= run_seed(seed).fired.keys()
        if not missing:
            break
    assert not missing


def test_in_one_seed_of_eight_the_costly_demands_too_are_made_after_every_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: Counter[str] = Counter()

    def counting(owner: object, name: str, what: str) -> None:
        real: Callable[..., None] = getattr(owner, name)

        def counted(*arguments: object) -> None:
            called[what] += 1
            real(*arguments)

        monkeypatch.setattr(owner, name, counted)

    counting(Shell, "_check", "commits")
    counting(resource_accounts, "_check_source", "looks")
    counting(resource_accounts, "_check_target", "looks")
    for seed, is_each in ((9, True), (10, False)):
        called.clear()
        assert not run_seed(seed).violations
        assert called["looks"] > 10
        assert (called["looks"] == called["commits"]) is is_each


def test_a_seed_makes_the_same_run_in_every_process() -> None:
    """Together these seeds choose every fault: none may depend on anything but its seed."""
    seeds = _seeds_with_all_faults()
    script = (
        "from tests.simulation.run import run_seed; import json;"
        f"print(json.dumps([run_seed(seed, with_digest=True).digest for seed in {seeds}]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            stdout=subprocess.PIPE,
        )
        for hash_seed in ("1", "2")
    ]
    digests = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(seeds)
