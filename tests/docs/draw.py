"""`python -m tests.docs.draw`: draw the parts of the documents that come from the code once more."""

from __future__ import annotations

import sys

from tests.docs.drawings import parts
from tests.docs.pages import documents, redrawn


def main() -> int:
    """Rewrite what has changed; name it on standard output."""
    wanted = parts()
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = redrawn(before, wanted)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"redrawn: {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
