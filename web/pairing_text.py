"""The text that *copy all* copies and *paste fills all* reads: site name, connector ID and code in three lines.

The script in `static/js/paste.js` reads it the same way; without scripts the server reads the pasted field by `parse`.
"""

import re
from dataclasses import dataclass

PASTED_LENGTH_MAX = 2000
_LINES = {
    "site_name": re.compile(r"^\s*site(?:\s+name)?\s*[:=]\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE),
    "connector_id": re.compile(r"^\s*connector(?:\s+id)?\s*[:=]\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE),
    "code": re.compile(r"^\s*(?:pairing\s+)?code\s*[:=]\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class PairingText:
    """The three fields; what the text did not name is empty."""

    site_name: str = ""
    connector_id: str = ""
    code: str = ""


def write(site_name: str, connector_id: str, code: str) -> str:
    """Return the text to copy: also the contents of the QR code."""
    return f"Site name: {site_name}\nConnector ID: {connector_id}\nCode: {code}\n"


def parse(text: str) -> PairingText:
    """Read a pasted text; order, case and surrounding lines do not matter."""
    found = {name: line.search(text[:PASTED_LENGTH_MAX]) for name, line in _LINES.items()}
    return PairingText(**{name: match.group(1) for name, match in found.items() if match})
