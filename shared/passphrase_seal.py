"""A file sealed with a passphrase, written in one go and read at any place: chunks of AES-256-GCM under a scrypt key.

Layout: a head (magic, cost of scrypt, salt, prefix of the nonces), then chunks of CHUNK_BYTES with their tags, the last
one shorter or full. A nonce is prefix, number of the chunk, and whether it is the last, so that chunks can be neither
exchanged nor cut off (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar).
"""

from __future__ import annotations

import io
import os
import secrets
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from shared.errors import BackupUnusable

MAGIC: Final = b"pairhub sealed file 1\n"
CHUNK_BYTES: Final = 64 * 1024
_TAG_BYTES: Final = 16
_SALT_BYTES: Final = 16
_PREFIX_BYTES: Final = 7
_HEAD_BYTES: Final = len(MAGIC) + 1 + _SALT_BYTES + _PREFIX_BYTES
# 2^16 with blocks of 8: 64 MiB and about a quarter of a second for each guess. A file may ask for 16 times that, no more.
_COST_LOG2: Final = 16
_COST_LOG2_MAX: Final = 20


def is_sealed(file: BinaryIO) -> bool:
    """Tell whether a file, open at its beginning, is sealed; leaves it there."""
    start = file.read(len(MAGIC))
    file.seek(0)
    return start == MAGIC


class SealingWriter:
    """Seals what is written into `file`; `close` writes the last chunk and leaves the file open."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        salt, prefix = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_PREFIX_BYTES)
        self._head = MAGIC + bytes([_COST_LOG2]) + salt + prefix
        self._key = _key(passphrase, salt, _COST_LOG2)
        self._prefix = prefix
        self._file = file
        self._number = 0
        self._waiting = bytearray()
        file.write(self._head)

    def write(self, data: bytes) -> int:
        """Seal full chunks; what is left waits, for the last chunk has to be marked."""
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def flush(self) -> None:
        """Do nothing: a chunk is sealed once."""

    def close(self) -> None:
        """Write the last chunk."""
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._key.encrypt(_nonce(self._prefix, self._number, last=last), chunk, self._head))
        self._number += 1


class OpeningReader(io.RawIOBase):
    """Reads a sealed file at any place; wrap it in io.BufferedReader."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """Raises BackupUnusable where the head is damaged or the passphrase is another."""
        super().__init__()
        self._file = file
        self._head = file.read(_HEAD_BYTES)
        if len(self._head) < _HEAD_BYTES or not self._head.startswith(MAGIC):
            raise BackupUnusable("the sealed file is cut off at its very beginning")
        cost = self._head[len(MAGIC)]
        if cost > _COST_LOG2_MAX:
            raise BackupUnusable("the sealed file asks for more memory than any of ours does: it is damaged")
        salt = self._head[len(MAGIC) + 1 :][:_SALT_BYTES]
        self._prefix = self._head[-_PREFIX_BYTES:]
        self._key = _key(passphrase, salt, cost)
        sealed = file.seek(0, os.SEEK_END) - _HEAD_BYTES
        self._chunks = max(1, -(-sealed // (CHUNK_BYTES + _TAG_BYTES)))
        self._size = sealed - self._chunks * _TAG_BYTES
        if self._size < 0:
            raise BackupUnusable("the sealed file is cut off")
        self._at = 0
        self._open_number = -1
        self._open_chunk = b""
        try:
            self._chunk(0)
        except BackupUnusable:
            raise BackupUnusable("it does not open with this passphrase (or its first part is damaged)") from None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # wider than any we are given
        """Read up to the end of the present chunk."""
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, CHUNK_BYTES)
        part = self._chunk(number)[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _chunk(self, number: int) -> bytes:
        if number != self._open_number:
            self._file.seek(_HEAD_BYTES + number * (CHUNK_BYTES + _TAG_BYTES))
            sealed = self._file.read(CHUNK_BYTES + _TAG_BYTES)
            nonce = _nonce(self._prefix, number, last=number == self._chunks - 1)
            try:
                self._open_chunk = self._key.decrypt(nonce, sealed, self._head)
            except InvalidTag:
                raise BackupUnusable("the sealed file is damaged or cut off") from None
            self._open_number = number
        return self._open_chunk


def _key(passphrase: str, salt: bytes, cost_log2: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << cost_log2, r=8, p=1).derive(passphrase.encode()))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
