"""What chaos demands can fail: histories, notices, accounts and answers are made up wrong here, and each time it is found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from shared.errors import PairhubError
from shared.rig.chaos.load import BATCH_READINGS, Load
from shared.rig.chaos.looks import unbalanced_account, unbalanced_connector, unbalanced_metrics
from shared.rig.chaos.plant import Plant
from shared.rig.chaos.weighing import Evidence, Restore, Scales, Verdict
from shared.rig.client import until

PUMP = ("pump", "flow")
ACCEPTED_S = 50.0
SENT = {at: (at / 4, ACCEPTED_S) for at in range(100)}
WHOLE = {at: value for at, (value, _) in SENT.items()}


def account(**changed: Any) -> dict[str, Any]:
    """Return an account of a hundred readings, all applied, with something else in it."""
    counts = {"accepted": 100, "applied": 100, "queued": 0, "quarantined": 0, "dropped": 0, "unknown": False}
    return counts | changed


def notice(count: int | None, *rows: tuple[str, str, int, int, int], **changed: Any) -> dict[str, Any]:
    """Return a gap notice as the API gives it."""
    said = {"gap_id": "g1", "cause": "retention", "count": count, "first_ms": 0, "last_ms": 99, "rows": rows}
    return said | changed


def without(*times: int) -> dict[int, float]:
    return {at: value for at, value in WHOLE.items() if at not in times}


Accounts = tuple[Mapping[str, Any], Mapping[str, Any]]
BOTH: Accounts = (account(), account())
NONE: tuple[Mapping[str, Any], ...] = ()


def weighed(
    found: Mapping[int, float] = WHOLE,
    own: Accounts = BOTH,
    *,
    kept: Mapping[int, float] = WHOLE,
    notices: tuple[Mapping[str, Any], ...] = NONE,
    notices_there: tuple[Mapping[str, Any], ...] | None = None,
    restores: tuple[Restore, ...] = (),
    twice_max: int = 0,
) -> Verdict:
    """Return the verdict about one series of a hundred readings; `own` are the accounts of source and target."""
    there = notices if notices_there is None else notices_there
    books = dict(zip(("source", "target"), own, strict=True))
    scales = Scales(Evidence(books, {"source": notices, "target": there}, restores, twice_max))
    scales.put(PUMP, SENT, found, kept)
    return scales.weigh()


def given_up(count: int) -> Accounts:
    """Return accounts that say of so many readings that they are dropped."""
    left = 100 - count
    return account(applied=left, dropped=count), account(accepted=left, applied=left)


def counts(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.lost, verdict.duplicated, verdict.unaccounted


def test_what_arrived_once_and_is_counted_once_is_clean() -> None:
    assert weighed().clean
    assert weighed().samples == []


@pytest.mark.parametrize("both", [True, False])
def test_readings_applied_three_times_are_duplicated_though_the_history_shows_each_once(both: bool) -> None:
    thrice = account(accepted=300, applied=300)
    verdict = weighed(own=(thrice if both else account(), thrice))
    assert verdict.duplicated == 200
    assert not verdict.clean


def test_a_source_that_counts_more_as_applied_than_was_sent_is_found() -> None:
    verdict = weighed(own=(account(accepted=107, applied=107), account()))
    assert verdict.duplicated == 7


def test_a_reading_that_is_nowhere_is_lost_and_so_is_one_with_another_value() -> None:
    assert weighed(without(3, 4)).lost == 2
    assert weighed(WHOLE | {3: -1.0}).lost == 1


def test_a_notice_excuses_as_many_as_its_row_counts_though_it_spans_a_thousand() -> None:
    two = notice(2, ("pump", "flow", 2, 0, 99))
    assert counts(weighed(without(10, 80), given_up(2), notices=(two,))) == (0, 0, 0)
    verdict = weighed(without(10, 50, 80), given_up(2), notices=(two,))
    assert (verdict.named, verdict.lost) == (2, 1)


def test_what_a_notice_counts_in_no_row_excuses_so_many_and_no_more() -> None:
    five = notice(5, ("pump", "flow", 2, 0, 20))
    verdict = weighed(without(1, 2, 60, 61, 62), given_up(5), notices=(five,))
    assert (verdict.named, *counts(verdict)) == (5, 0, 0, 0)
    assert weighed(without(60, 61, 62, 63), given_up(5), notices=(five,)).lost == 1


@pytest.mark.parametrize("row", [("valve", "flow", 2, 0, 99), ("pump", "level", 2, 0, 99), ("pump", "flow", 2, 11, 79)])
def test_a_notice_excuses_nothing_of_another_series_or_time(row: tuple[str, str, int, int, int]) -> None:
    assert weighed(without(10, 80), notices=(notice(2, row),)).lost == 2


def test_a_notice_that_only_one_side_has_excuses_nothing() -> None:
    two = notice(2, ("pump", "flow", 2, 0, 99))
    assert weighed(without(10, 80), notices=(two,), notices_there=()).lost == 2


def test_more_named_than_dropped_is_unaccounted_and_so_are_notices_beside_the_account() -> None:
    two = notice(2, ("pump", "flow", 2, 0, 99))
    aside = account(applied=98, quarantined=1, dropped=1), account(accepted=99, applied=98, quarantined=1)
    verdict = weighed(without(10, 80), aside, notices=(two,), restores=(Restore("target", 40.0, 60.0),))
    assert (verdict.named, verdict.unaccounted) == (2, 1)
    assert weighed(notices=(notice(1),)).unaccounted == 1


def test_excuses_are_shared_out_so_that_as_many_readings_as_can_have_one() -> None:
    any_time = notice(1, ("pump", "flow", 1, 0, 99))
    early = notice(1, gap_id="g2", first_ms=0, last_ms=20)
    # Both excuse the first: only if it leaves the one to the later reading, that has any.
    verdict = weighed(without(10, 80), given_up(2), notices=(any_time, early))
    assert (verdict.named, verdict.lost) == (2, 0)
    assert weighed(without(10, 15, 80), given_up(2), notices=(any_time, early)).lost == 1


def test_what_a_restored_target_lacks_is_excused_only_where_the_source_has_it_no_more_either() -> None:
    lost = notice(2, cause="destination_restored", first_ms=7_000, last_ms=7_000)  # nobody knows of which times
    gone = without(10, 80)
    restores = (Restore("target", 40.0, 60.0),)
    assert weighed(gone, given_up(2), kept=gone, notices=(lost,), restores=restores).clean
    assert weighed(gone, given_up(2), kept=without(10), notices=(lost,), restores=restores).lost == 1


# --- where a site was restored --------------------------------------------------------------------------------------


def source_restored(restored_s: float = 60.0) -> tuple[Restore, ...]:
    return (Restore("source", 40.0, restored_s),)


def test_a_restored_source_may_have_forgotten_what_it_accepted_since_the_copy_and_must_say_so() -> None:
    said = account(accepted=97, applied=97, unknown=True), account(accepted=97, applied=97)
    gone = without(7, 8, 9)
    verdict = weighed(gone, said, kept=gone, restores=source_restored())
    assert (verdict.forgotten, *counts(verdict)) == (3, 0, 0, 0)
    silent = account(accepted=97, applied=97), said[1]
    assert weighed(gone, silent, kept=gone, restores=source_restored()).clean, "nothing shows it that it was restored"
    assert weighed(gone, silent, kept=without(1, 7, 8, 9), restores=source_restored()).unaccounted == 3
    assert weighed(gone, said, kept=gone, restores=source_restored(restored_s=45.0)).lost == 3
    assert weighed(gone, said, kept=gone, restores=(Restore("target", 40.0, 60.0),)).lost == 3


def test_what_a_restored_source_still_has_is_not_forgotten_but_lost() -> None:
    said = account(accepted=97, applied=97, unknown=True), account(accepted=97, applied=97)
    assert weighed(without(7, 8, 9), said, kept=without(8, 9), restores=source_restored()).lost == 1


def test_a_restored_source_may_count_twice_what_waited_in_its_copy_and_no_more() -> None:
    twice = (account(accepted=130, applied=130, unknown=True),) * 2
    assert weighed(own=twice, restores=source_restored(), twice_max=30).clean
    verdict = weighed(own=twice, restores=source_restored(), twice_max=29)
    assert (verdict.duplicated, verdict.counted_twice) == (1, 29)


def test_what_a_restored_source_neither_forgot_nor_counts_is_unaccounted() -> None:
    short = (account(accepted=96, applied=96, unknown=True),) * 2
    verdict = weighed(own=short, restores=source_restored())
    assert verdict.unaccounted == 8, "found and not applied, and sent and not accepted"


def test_a_restored_target_has_what_its_account_says_but_for_what_was_given_up() -> None:
    restored = (Restore("target", 40.0, 60.0),)
    assert weighed(own=given_up(2), restores=restored).clean
    left = account(accepted=97, applied=97)
    assert weighed(own=(left | {"accepted": 100}, left), restores=restored).unaccounted > 0
    assert weighed(own=given_up(2)).unaccounted == 4, "nothing was restored: neither found beyond, nor in a notice"


# --- accounts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "own",
    [
        (account(queued=1), account()),  # beside its own parts
        (account(accepted=101, quarantined=1), account()),  # beside what was sent
        (account(quarantined=1, applied=99),) * 2,  # less applied than found
        (account(), account(applied=101)),  # two that differ
    ],
)
def test_an_account_that_does_not_fit_what_was_sent_found_or_said_is_unaccounted(own: Accounts) -> None:
    assert weighed(own=own).unaccounted > 0


def test_readings_that_nobody_sent_are_unaccounted() -> None:
    assert weighed(WHOLE | {1_000: 1.0}).unaccounted == 1


def shown(**changed: Any) -> dict[str, Any]:
    """Return an account as the API shows it."""
    counts = {
        "accepted": 9,
        "applied": 2,
        "queued": 4,
        "quarantined": 0,
        "dropped": 3,
        "dropped_by_cause": {"parted": 3},
    }
    return counts | {"tail": 1, "outbox": 2, "held": 1} | changed


def test_an_account_that_does_not_balance_is_seen_wherever_it_is_shown() -> None:
    assert unbalanced_account("own", shown()) == unbalanced_account("stated", None) == []
    for wrong in ({"applied": 3}, {"outbox": 3}, {"dropped_by_cause": {"parted": 2}}):
        assert unbalanced_account("own", shown(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": shown(applied=3)},
        {"stated_by_source": shown(applied=3)},
        {"backlog": {"count": 4}},
        {"resource_accounts": []},
        {"resource_accounts": [{"resource": "flow", "own": shown(applied=3), "stated_by_source": None}]},
        {"resource_accounts": [{"resource": "flow", "own": shown(), "stated_by_source": shown(applied=3)}]},
    ],
)
def test_a_status_that_does_not_add_up_is_seen(wrong: dict[str, Any]) -> None:
    one = {"resource": "flow", "own": shown(), "stated_by_source": None}
    status = {"role": "source", "account": shown(), "stated_by_source": None, "backlog": {"count": 3}}
    assert unbalanced_connector(status | {"resource_accounts": [one]}) == []
    assert unbalanced_connector(status | {"resource_accounts": [one]} | wrong)


SCRAPED = """
pairhub_accepted_total{connector="C",pair="p"} 9
pairhub_applied_total{connector="C",pair="p"} 2
pairhub_tail_readings{connector="C",pair="p"} 1
pairhub_outbox_readings{connector="C",pair="p"} 2
pairhub_held_readings{connector="C",pair="p"} 1
pairhub_quarantined_readings{connector="C",pair="p"} 0
pairhub_dropped_total{connector="C",pair="p",cause="parted"} 1
pairhub_dropped_total{connector="C",pair="p",cause="retention"} 2
pairhub_backlog_readings{connector="C",pair="p"} 3
pairhub_resource_accepted_total{connector="C",pair="p",resource="flow"} 5
pairhub_resource_applied_total{connector="C",pair="p",resource="flow"} 2
pairhub_resource_queued_readings{connector="C",pair="p",resource="flow"} 2
pairhub_resource_quarantined_readings{connector="C",pair="p",resource="flow"} 0
pairhub_resource_dropped_total{connector="C",pair="p",resource="flow",cause="parted"} 1
"""


def test_metrics_that_do_not_add_up_are_seen() -> None:
    assert unbalanced_metrics(SCRAPED) == []
    for line in SCRAPED.splitlines():
        name, _, value = line.rpartition(" ")
        if name and value != "0":
            assert unbalanced_metrics(SCRAPED.replace(line, f"{name} {int(value) + 1}")), line
    rest = SCRAPED[: SCRAPED.index("pairhub_backlog")]
    assert unbalanced_metrics(rest) == [], "a target says nothing of a backlog"


# --- the load ---------------------------------------------------------------------------------------------------------


class AnswersOnly:
    """Stands for a plant, its machines and their clients: each request of readings is answered by what is given."""

    connector_id = "C"

    def __init__(self, answer: Callable[[], dict[str, Any]]) -> None:
        self._answer = answer
        self.source = self.target = self

    def client(self) -> AnswersOnly:
        return self

    async def post(self, path: str, body: Any = None) -> Any:
        await asyncio.sleep(0)
        return self._answer() if path.endswith("/readings") else {}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        raise PairhubError("nobody is there")

    async def get(self, path: str) -> Any:
        raise PairhubError("nobody is there")


def load_on(answer: Callable[[], dict[str, Any]]) -> Load:
    return Load(cast("Plant", AnswersOnly(answer)), random.Random(1))


def refusing(code: str) -> dict[str, Any]:
    refusal = {"line": 1, "code": code, "message": "no", "at": ""}
    return {"accepted": BATCH_READINGS - 1, "repeated": 0, "refused": 1, "refusals": [refusal]}


async def test_a_line_that_is_refused_for_now_is_counted_and_its_request_sent_again() -> None:
    answers = [refusing("too_far_ahead"), refusing("storage_failed")]
    good = {"accepted": BATCH_READINGS, "repeated": 0, "refused": 0, "refusals": []}
    load = load_on(lambda: answers.pop() if answers else good)
    load.start()

    async def answered() -> bool:
        return not answers and len(load.done.accepted) >= 3

    await until(answered, what="requests to be answered", timeout_s=5)
    await load.stop()
    await load.finish(5)
    assert load.done.refusals == {"too_far_ahead": 1, "storage_failed": 1}
    first_s, last_s = min(load.done.asked.values()), max(load.done.accepted.values())
    assert load.done.under_way(first_s) >= 1
    assert load.done.under_way(last_s + 1) == 0


async def test_a_line_that_is_refused_for_good_breaks_chaos_off_at_once() -> None:
    load = load_on(lambda: refusing("wrong_format"))
    load.start()

    async def failed() -> Any:
        return load.failed()

    error = await until(failed, what="the load to fail", timeout_s=5)
    await load.stop()
    with pytest.raises(PairhubError, match="for good"):
        await load.finish(5)
    assert "wrong_format" in str(error)
