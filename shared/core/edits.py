"""Two-way edits at one side of a pair: made here, taken from the other side, refused, and settled (G11, G13, G18).

Also for a connector that has no partner yet: its versions count all the same, and are compared once it is paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.core import judge
from shared.core.cells import Cell, Policy, edited, merged, refusing, same_versions
from shared.core.fields import (
    CONNECTOR_OBJECT,
    EXISTS,
    FieldClass,
    device_identity,
    field_class,
    generation_of,
    json_text,
    policy_field,
)
from shared.core.judge import PeerRights
from shared.core.ports import Change, ControlStore
from shared.sealing import Side

# (object, field, JSON value or None for none)
Edit = tuple[str, str, str | None]
# Queue cells for the other side; returns the row of the entry that carries them, None where there is no other side.
Queue = Callable[[Sequence[Cell]], list[tuple[Sequence[Cell], int | None]]]


class Edits:
    """The edits of one connector. `appeared` names devices that are new here since it was last emptied."""

    def __init__(self, side: Side, site_id: str) -> None:
        self._side = side
        self._site_id = site_id
        self.appeared: list[str] = []
        self.policy_changed = False
        """A policy changed since this was last set back: what was merged before may differ, and is to be compared."""

    # --- made here ----------------------------------------------------------------------------------------------------

    def edit(
        self, store: ControlStore, edits: Sequence[Edit], *, who: str, now_ms: int, queue: Queue | None
    ) -> list[Cell]:
        """Apply edits here and queue them for the other side; return the new versions, without what changed nothing."""
        made: dict[tuple[str, str], tuple[Cell | None, Cell]] = {}
        for name, field, value in edits:
            before = store.cell(name, field)
            if (before.value if before else None) == value:
                continue
            made[name, field] = before, self._version(before, name, field, value, who, now_ms)
        store.begin_edits()
        cells = [cell for _, cell in made.values()]
        for part, row in queue(cells) if queue is not None else [(cells, None)]:
            for cell in part:
                before, _ = made[cell.object, cell.field]
                self._close(store, cell, who, now_ms)
                self._save(store, cell, now_ms, row)
                state = "applied" if row is None else "pending"
                store.add_change(_change(before, cell, ours=True, state=state, control_row=row), now_ms)
        store.finish_edits()
        return cells

    def _version(self, old: Cell | None, name: str, field: str, value: str | None, who: str, now_ms: int) -> Cell:
        return edited(
            old,
            object=name,
            field=field,
            value=value,
            side=self._side,
            now_ms=now_ms,
            site_id=self._site_id,
            who=who,
        )

    # --- from the other side --------------------------------------------------------------------------------------------

    def take(self, store: ControlStore, cells: Sequence[Cell], now_ms: int) -> tuple[list[Cell], list[str]]:
        """Merge cells of the other side; return (what it has to be told in turn, why some cannot be taken at all)."""
        rights = store.peer_rights()
        lost = store.lost_edits()
        store.begin_edits()
        replies: list[Cell] = []
        wrong: list[str] = []
        for theirs in cells:
            if why := judge.why_wrong(theirs):
                wrong.append(why)
            elif (reply := self._take(store, theirs, _given_back(rights, lost, theirs), now_ms)) is not None:
                replies.append(reply)
        store.finish_edits()
        return replies, wrong

    def _take(self, store: ControlStore, theirs: Cell, rights: PeerRights, now_ms: int) -> Cell | None:
        mine = store.cell(theirs.object, theirs.field)
        if mine == theirs or (mine is not None and mine.dominates(theirs) and not theirs.dominates(mine)):
            return None
        if code := self._refusal(store, mine, theirs, rights):
            return self._refuse(store, mine, theirs, code, now_ms)
        policy = self._policy(store, theirs.field)
        kept, lost = merged(mine, theirs, policy)
        if mine is not None and kept == mine:
            # As many edits are counted there as here, with another outcome: decided under other policies.
            return mine if same_versions(mine, theirs) else None
        self._note(store, mine, theirs, kept, lost, policy, now_ms)
        self._save(store, kept, now_ms)
        return None

    def _policy(self, store: ControlStore, field: str) -> Policy:
        kind = field_class(field)
        if kind is FieldClass.POLICIES:
            return Policy.NEWER
        cell = store.cell(CONNECTOR_OBJECT, policy_field(kind))
        for policy in Policy:
            if cell is not None and cell.value == json_text(policy.value):
                return policy
        return Policy.NEWER

    def _refusal(self, store: ControlStore, mine: Cell | None, theirs: Cell, rights: PeerRights) -> str:
        """Return the code with which an edit is refused, empty where it is taken."""
        if (mine.value if mine else None) == theirs.value:
            return ""
        if theirs.refused and mine is not None and mine.side == self._side:
            return ""  # the answer to an edit of ours; were it refused in turn, that would never end
        present: int | None = None
        counted = judge.most_of(theirs.field)
        if counted is not None and (mine is None or mine.value is None):
            present = store.count_fields(theirs.object, theirs.field.partition("/")[0] + "/")
        asked = theirs.field.startswith("set/")
        definitions = store.definitions() if asked else ()
        return judge.refusal(theirs, rights=rights, side=self._side, definitions=definitions, present=present)

    def _refuse(self, store: ControlStore, mine: Cell | None, theirs: Cell, code: str, now_ms: int) -> Cell:
        answer = refusing(mine, theirs, side=self._side, now_ms=now_ms, site_id=self._site_id, code=code)
        self._save(store, answer, now_ms)
        store.add_change(_change(mine, theirs, ours=False, state="refused", reason=code), now_ms)
        return answer

    def _note(
        self,
        store: ControlStore,
        mine: Cell | None,
        theirs: Cell,
        kept: Cell,
        lost: Cell | None,
        policy: Policy,
        now_ms: int,
    ) -> None:
        """Write down for people what a merge did."""
        name, field = theirs.object, theirs.field
        won = mine is None or kept.value != mine.value
        if theirs.refused and theirs.side != self._side:
            if won:
                store.settle_own_change(name, field, "refused", theirs.refused)
            return
        if lost is not None and not lost.refused and not kept.refused:
            store.add_conflict(kept, lost, policy.value, now_ms)
        elif mine is None or theirs.dominates(mine):
            self._close(store, theirs, theirs.who, now_ms)
        if (mine.value if mine else None) == theirs.value:
            return
        if lost is not None and won:
            store.settle_own_change(name, field, "conflict", policy.value)
        state, reason = ("conflict", policy.value) if lost is not None and not won else ("applied", "")
        store.add_change(_change(mine, theirs, ours=False, state=state, reason=reason), now_ms)

    # --- both -----------------------------------------------------------------------------------------------------------

    def _close(self, store: ControlStore, cell: Cell, who: str, now_ms: int) -> None:
        """An edit made in the knowledge of both versions settles their conflict."""
        store.close_conflicts(cell.object, cell.field, who, now_ms)

    def _save(self, store: ControlStore, cell: Cell, now_ms: int, control_row: int | None = None) -> None:
        store.save_cell(cell, control_row, now_ms)
        if cell.object == CONNECTOR_OBJECT and field_class(cell.field) is FieldClass.POLICIES:
            self.policy_changed = True
        if cell.field == EXISTS and generation_of(cell.value) > 0:
            self.appeared.append(device_identity(cell.object) or "")


def _given_back(rights: PeerRights, lost: tuple[int, int] | None, theirs: Cell) -> PeerRights:
    """Return the rights by which an edit is judged (G18).

    What was edited while a restored site knew of it was judged then, by rights that the backup may not have; and its own
    edits come back the same way. `lost` is (from, to) ms by the stamps, None where nothing of the kind is missing.
    """
    return PeerRights() if lost is not None and lost[0] <= theirs.stamp_ms <= lost[1] else rights


def _change(
    before: Cell | None,
    after: Cell,
    *,
    ours: bool,
    state: str,
    reason: str = "",
    control_row: int | None = None,
) -> Change:
    return Change(
        after.object,
        after.field,
        before.value if before else None,
        after.value,
        after.who,
        after.site_id,
        ours,
        state,
        reason,
        control_row,
    )
