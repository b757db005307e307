"""The hub's own key, in a file that only its owner may read."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shared.certificates import new_key
from shared.errors import StorageFailed
from shared.private_files import write_secret


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in a file, or make one there (mode 0600); raises StorageFailed.

    The file lies beside the data directory, not in it: a hub that keeps its key knows its sites again by their
    certificates, whatever happened to its database (DESIGN section 7).
    """
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        key = new_key()
        write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key
    except OSError as error:
        raise StorageFailed(f"cannot read the key file {path}: {error}") from error
    try:
        loaded = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise StorageFailed(f"the key file {path} is damaged: {error}") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise StorageFailed(f"the key file {path} holds another kind of key")
    return loaded
