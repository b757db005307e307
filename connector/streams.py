"""A pair's streams in SQLite: what shared.core.ports asks for, for one connector. Every verb runs in the caller's transaction.

Queries of streams, control log and cells stand in outbox_rows, inbox_rows and control_rows; devices and resources have
files of their own.
"""

from __future__ import annotations

from connector.control_rows import ControlRows
from connector.inbox_rows import InboxRows
from connector.outbox_rows import OutboxRows


class Streams(OutboxRows, InboxRows, ControlRows):
    """The PairStore of one connector on one open connection. Cheap to make: one per unit of work."""
