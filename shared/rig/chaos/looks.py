"""Looks at the books of both sites while everything goes wrong: whoever looks, and whenever, sees an account that balances."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from shared.errors import PairhubError
from shared.metrics import METRICS_PATH
from shared.rig.chaos.plant import Machine, Plant

_EVERY_S: Final = 0.25
_SAMPLES_MAX: Final = 10
_SUMMED: Final = ("accepted", "applied", "queued", "quarantined", "dropped")
_TOTAL: Final = {name: f"pairhub_{name}_total" for name in ("accepted", "applied", "dropped")}
_PLACES: Final = tuple(f"pairhub_{name}_readings" for name in ("tail", "outbox", "held", "quarantined"))
_WAITING: Final = "pairhub_backlog_readings"
_RESOURCE_PLACES: Final = tuple(f"pairhub_resource_{name}_readings" for name in ("queued", "quarantined"))


class Looks:
    """`start`, later `stop`: several times a second at each surface of each site, while it answers."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.looked: Counter[str] = Counter()  # by surface
        self.unbalanced = 0
        self.samples: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._look_on_and_on(site)) for site in self._plant.sites]

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def failed(self) -> BaseException | None:
        """Return what ended the looks before their time."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        return None

    async def _look_on_and_on(self, site: Machine) -> None:
        while True:
            for surface, look in (("account", _account), ("status", _status), ("metrics", _metrics)):
                try:
                    found = await look(site)
                except PairhubError:
                    continue  # killed, or its disk is full
                self.looked[surface] += 1
                if found:
                    self.unbalanced += 1
                    if len(self.samples) < _SAMPLES_MAX:
                        self.samples.append(f"unbalanced: {surface} of {site.name}: {'; '.join(found)}")
            await asyncio.sleep(_EVERY_S)


async def _account(site: Machine) -> list[str]:
    answer = await site.client().get(f"/connectors/{site.connector_id}/account")
    return unbalanced_account("own", answer["own"]) + unbalanced_account("stated", answer["stated_by_source"])


async def _status(site: Machine) -> list[str]:
    answer = await site.client().get("/status")
    return [text for each in answer["connectors"] for text in unbalanced_connector(each)]


async def _metrics(site: Machine) -> list[str]:
    text = await site.client().download(site.daemon.url + METRICS_PATH)
    return unbalanced_metrics(text.decode())


def unbalanced_account(whose: str, account: Mapping[str, Any] | None) -> list[str]:
    """Return what does not add up in an account, as the API gives it; nothing where there is none."""
    if account is None:
        return []
    places = account["applied"] + account["queued"] + account["quarantined"] + account["dropped"]
    sums = {
        "accepted": (account["accepted"], places),
        "queued": (account["queued"], account["tail"] + account["outbox"] + account["held"]),
        "dropped": (account["dropped"], sum(account["dropped_by_cause"].values())),
    }
    return [f"{whose} {name} {said}, its parts {parts}" for name, (said, parts) in sums.items() if said != parts]


def unbalanced_connector(status: Mapping[str, Any]) -> list[str]:
    """Return what does not add up in what a site says of a connector: accounts, backlog, each resource, and all of these."""
    own, by_resource = status["account"], status["resource_accounts"]
    found = unbalanced_account("own", own) + unbalanced_account("stated", status["stated_by_source"])
    for row in by_resource:
        found += unbalanced_account(f"'{row['resource']}'", row["own"])
        found += unbalanced_account(f"stated '{row['resource']}'", row["stated_by_source"])
    backlog = status["backlog"]["count"]
    if own is not None:
        if status["role"] == "source" and backlog != own["tail"] + own["outbox"]:
            found.append(f"{backlog} wait, tail and outbox hold {own['tail'] + own['outbox']}")
        for name in _SUMMED:
            of_resources = sum(row["own"][name] for row in by_resource)
            if of_resources != own[name]:
                found.append(f"{name} {own[name]}, of all resources {of_resources}")
    return found


def unbalanced_metrics(text: str) -> list[str]:
    """Return what does not add up in what a site says to Prometheus: the account of each pair, and of each resource."""
    pairs: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    resources: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "pair" not in sample.labels:
                continue
            ids = sample.labels["connector"], sample.labels["pair"]
            if "resource" in sample.labels:
                resources[*ids, sample.labels["resource"]][sample.name] += int(sample.value)
            else:
                pairs[ids][sample.name] += int(sample.value)
    waiting = {ids: said for ids, said in pairs.items() if _WAITING in said}
    of_resources = {name: each.replace("pairhub_", "pairhub_resource_") for name, each in _TOTAL.items()}
    return [
        *_unequal(pairs, _TOTAL["accepted"], (_TOTAL["applied"], *_PLACES, _TOTAL["dropped"])),
        *_unequal(waiting, _WAITING, _PLACES[:2]),
        *_unequal(
            resources,
            of_resources["accepted"],
            (of_resources["applied"], *_RESOURCE_PLACES, of_resources["dropped"]),
        ),
    ]


def _unequal(books: Mapping[tuple[str, ...], Counter[str]], whole: str, parts: Iterable[str]) -> list[str]:
    sums = {ids: (said[whole], sum(said[part] for part in parts)) for ids, said in books.items()}
    return [
        f"{whole} of {'/'.join(ids)} {said}, its parts {added}" for ids, (said, added) in sums.items() if said != added
    ]
