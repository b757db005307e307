"""Secrets that programs and people carry about: a prefix, a random part, and a checksum.

The prefix lets scanners find a leaked one, the checksum tells a typo from a wrong secret without asking the database.
256 random bits need no slow hash: SHA-256 is stored, and compared in constant time.
"""

import hashlib
import hmac
import zlib

RANDOM_BYTES = 32
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS = frozenset(_ALPHABET)
_BODY_LENGTH = 43
_CHECK_LENGTH = 6


def make_token(prefix: str, random_bytes: bytes) -> str:
    """Return a token of `prefix` (as `phk_`) and 32 fresh random bytes."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a token takes {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    body = _base62(int.from_bytes(random_bytes, "big"), _BODY_LENGTH)
    return prefix + body + _checksum(prefix + body)


def is_well_formed(prefix: str, token: str) -> bool:
    """Tell whether the text can be a token of this prefix at all: length, alphabet, checksum."""
    if not token.startswith(prefix) or len(token) != len(prefix) + _BODY_LENGTH + _CHECK_LENGTH:
        return False
    if not _LETTERS.issuperset(token[len(prefix) :]):
        return False
    return hmac.compare_digest(token[-_CHECK_LENGTH:], _checksum(token[:-_CHECK_LENGTH]))


def hash_token(token: str) -> bytes:
    """Return the 32 bytes to store and to look up by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def matches(token: str, stored_hash: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_token(token), stored_hash)


def hint(token: str, prefix: str) -> str:
    """Return enough of a token to tell it from others and too little to use it: `phk_3f9K…a1b2`."""
    return f"{token[: len(prefix) + 4]}…{token[-4:]}"


def _base62(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, index = divmod(number, 62)
        letters.append(_ALPHABET[index])
    return "".join(reversed(letters))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_LENGTH)
