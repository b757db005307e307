"""What of repairs anybody may know, without a log-in: figures and words of ours, no names (G9)."""

from __future__ import annotations

import re

import pytest

from shared.core.repair_kinds import REPAIRS
from shared.core.repairs import PUBLIC_FACTS, UNNAMED_FACTS, Finding, Repair
from shared.notices.repair_status import public_repairs

SECRET = "Hidden"


@pytest.mark.parametrize("code", REPAIRS)
def test_every_fact_that_words_name_is_either_public_or_has_another_word(code: str) -> None:
    kind = REPAIRS[code]
    named = set(re.findall(r"{(\w+)}", kind.title + kind.cause + kind.means + kind.fix))
    assert named <= PUBLIC_FACTS ^ UNNAMED_FACTS.keys()
    (told,) = public_repairs([Repair(Finding(code, facts=tuple((name, SECRET) for name in named - PUBLIC_FACTS)), 0)])
    for words in (told.title, told.cause, told.fix):
        assert words[:1].isupper() or words[:1] in "“?", words
        assert SECRET not in words


def test_who_asks_without_a_log_in_is_told_figures_and_no_names() -> None:
    named = [
        Repair(
            Finding("resource_different", "C", alias, (("peer", SECRET), ("alias", alias), ("different", "unit"))), at
        )
        for alias, at in ((SECRET, 7), ("Hidden too", 5))
    ]
    why = Repair(Finding("storage_failed", facts=(("why", f"{SECRET} is full."),)), 9)
    unknown = Repair(Finding("disk_low", facts=(("free", "1 MiB"), ("limit", "2 MiB"), ("file", SECRET))), 9)

    two, storage, disk = public_repairs([*named, why, unknown])
    assert (two.code, two.count, two.since_ms) == ("resource_different", 2, 5)
    assert (two.title, two.cause) == ("Resource differs from the other site's", "“…” differs in unit.")
    assert storage.cause == "What exactly is the matter stands on the page Repairs, and in the log."
    assert disk.cause == "1 MiB are free; the warning begins below 2 MiB."
    assert SECRET not in repr((two, storage, disk, unknown.unnamed))
