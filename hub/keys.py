"""The hub's own key, and other secrets that live in files only their owner may read."""

from __future__ import annotations

import os
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


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; raises StorageFailed."""
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error}") from error
