"""A pair's streams in SQLite: what shared.core.ports asks for, for one connector. Every verb runs in the caller's transaction.

Queries of streams, control log, parting and cells stand in outbox_rows, inbox_rows, progress_rows, control_rows,
parting_rows, replay_rows and edit_rows; devices and resources have files of their own.
"""

from __future__ import annotations

from connector.inbox_rows import InboxRows
from connector.outbox_rows import OutboxRows
from connector.parting_rows import PartingRows
from connector.progress_rows import ProgressRows
from connector.replay_rows import ReplayRows


class Streams(OutboxRows, InboxRows, ProgressRows, PartingRows, ReplayRows):
    """The PairStore of one connector on one open connection. Cheap to make: one per unit of work."""
