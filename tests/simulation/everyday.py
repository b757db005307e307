"""An ordinary day: readings, edits, devices, resources, links and time, as chance wills (DESIGN G6, G11, G14)."""

from __future__ import annotations

from shared.batches import Value
from shared.core.fields import DESCRIPTION, LOCKED, NAME, Grant, Subject, grant_field, json_text, tag_field
from shared.limits import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from shared.sealing import Side
from tests.simulation.world import DEVICES, MORTAL, RESOURCES, World


class Everyday:
    """What happens anyway, with and without faults."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._last_at_ms = world.now_ms

    def step(self) -> None:
        """Let one thing happen, and some of what follows from it."""
        world, chance = self.world, self.world.chance
        chance.choices(
            (
                self.accept,
                self.accept_much,
                self._edit,
                self._add_device,
                self._delete_device,
                self._define,
                self._links,
                self._wait,
            ),
            (40, 6, 12, 4, 8, 5, 16, 14),
        )[0]()
        for site in world.everyone:
            if site.engine is None and chance.random() < 0.5:
                site.start()
            if site.link is None and chance.random() < 0.3:
                world.dial_one(site)
        for _ in range(chance.choice((0, 1, 3, 10, 40))):
            if not world.deliver_some():
                break
        world.now_ms += chance.choice((0, 0, 1, 7, 60, 400))
        world.ring()

    def let_flow(self) -> None:
        """Remove whatever stands in the way of readings."""
        for site in (self.world.source, self.world.target):
            site.define(*RESOURCES)
        self.world.source.create_device(DEVICES[0])
        self.meet()

    def meet(self) -> None:
        """Link both sides; where they hang on different hubs, at one of those."""
        world = self.world
        world.dial()
        links = [site.link for site in (world.source, world.target) if site.link is not None]
        if len({id(link.hub) for link in links}) > 1:
            everywhere = world.meeting
            world.meeting = [hub for hub in everywhere if hub is links[0].hub]
            world.cut_all()
            world.dial()
            world.meeting = everywhere

    def _value(self, alias: str) -> Value:
        chance = self.world.chance
        if alias == "temp":
            return chance.choice((round(chance.uniform(-40, 120), 2), chance.random() * 1e9, -0.0, 7.0))
        if alias == "on":
            return chance.random() < 0.5
        return chance.choice(("", "calm", "stürmisch", "x" * chance.randrange(300)))

    def accept(self, most: int = 6) -> None:
        """Let a source accept some readings."""
        world, chance = self.world, self.world.chance
        sources = [site for site in world.everyone if site.side is Side.SOURCE]
        readings = []
        for _ in range(chance.randrange(1, most)):
            alias, kind = chance.choice(RESOURCES)
            roll = chance.random()
            if roll < 0.05 and len(sources) == 1:
                at_ms = self._last_at_ms  # a time that was there already, perhaps in another series
            elif roll < 0.1:
                at_ms = world.now_ms - chance.randrange(1, 40) * DAY_MS - chance.randrange(DAY_MS)
            else:
                self._last_at_ms = at_ms = max(self._last_at_ms + 1, world.now_ms)
            readings.append((chance.choice(DEVICES), alias, kind, at_ms, self._value(alias)))
        chance.choice(sources).accept(readings)

    def accept_much(self) -> None:
        """Let the source accept many readings at once."""
        self.accept(60)

    def _edit(self) -> None:
        world, chance = self.world, self.world.chance
        site = chance.choice(world.everyone)
        identity = chance.choice(DEVICES)
        if not site.rows(f"SELECT 1 FROM device WHERE identity = '{identity}'"):
            return
        edits: list[tuple[str, str, str | None]] = []
        for _ in range(chance.randrange(1, 4)):
            roll = chance.random()
            if roll < 0.3:
                edits.append((site.fields(identity), chance.choice((NAME, DESCRIPTION)), f'"{chance.random()}"'))
            elif roll < 0.4:
                edits.append((site.fields(identity), LOCKED, chance.choice(("true", "false"))))
            elif roll < 0.5:
                level = chance.choice((Grant("read"), Grant("write", world.now_ms), None))
                grant = json_text(level) if level is not None else None
                edits.append((site.fields(identity), grant_field(Subject("user", "ann", "a site")), grant))
            else:
                field = tag_field(chance.choice("ab"), chance.choice("xyz"))
                edits.append((site.fields(identity), field, chance.choice(("true", "true", None))))
        site.edit(*edits)

    def _add_device(self) -> None:
        world, chance = self.world, self.world.chance
        chance.choice((world.source, world.source, world.target)).create_device(chance.choice(DEVICES))

    def _delete_device(self) -> None:
        """Delete the one device that may go, or make it again: what is asked of readings of the others stays exact."""
        world, chance = self.world, self.world.chance
        site = chance.choice((world.source, world.target))
        if not site.delete_device(MORTAL) or chance.random() < 0.6:
            site.create_device(MORTAL)
            if chance.random() < 0.5:
                self.accept_much()  # before the news of it arrives anywhere

    def _define(self) -> None:
        world, chance = self.world, self.world.chance
        alias, kind = chance.choice(RESOURCES)
        if chance.random() < 0.4:
            world.source.define((alias, kind), sync=chance.random() < 0.7)
        elif chance.random() < 0.5:
            world.target.define((alias, kind), unit=chance.choice(("", "", "K")))
        else:
            world.target.define((alias, chance.choice((kind, "string"))))

    def _links(self) -> None:
        world, chance = self.world, self.world.chance
        site = chance.choice(world.everyone)
        if site.link is None:
            world.dial_one(site)
        elif chance.random() < 0.3:
            world.cut(site.link)

    def _wait(self) -> None:
        world, chance = self.world, self.world.chance
        if chance.random() < 0.7:
            world.pass_time(chance.choice((100, SECOND_MS, 4 * SECOND_MS, 12 * SECOND_MS)))
        else:
            world.sleep(chance.choice((MINUTE_MS, 10 * MINUTE_MS, 2 * HOUR_MS, DAY_MS)))
