"""What a daemon leaves in its data directory for the command line of the same machine: where it listens, and by which
certificate it is known there."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from shared.errors import StorageFailed

ADDRESS_FILE: Final = "address"
CERTIFICATE_FILE: Final = "address.pem"
# X509_V_FLAG_NO_CHECK_TIME, which Python does not name.
_WHATEVER_THE_TIME: Final = 0x200000


def leave_address(data_dir: Path, url: str, certificate_pem: bytes | None) -> None:
    """Write both files; `certificate_pem` is None where nothing is served by TLS. Raises StorageFailed."""
    try:
        (data_dir / ADDRESS_FILE).write_text(url + "\n", encoding="utf-8")
        if certificate_pem is None:
            (data_dir / CERTIFICATE_FILE).unlink(missing_ok=True)
        else:
            (data_dir / CERTIFICATE_FILE).write_bytes(certificate_pem)
    except OSError as error:
        raise StorageFailed(f"cannot write into {data_dir}: {error}") from error


def local_trust(data_dir: Path) -> ssl.SSLContext | None:
    """Return a context that trusts the very certificate the daemon left here, whatever its name and dates.

    The command line has to reach a daemon whose certificate has just expired, to say so. None where there is no TLS.
    """
    path = data_dir / CERTIFICATE_FILE
    if not path.exists():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cafile=path)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _WHATEVER_THE_TIME
    return context
