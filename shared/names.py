"""Names and codes that people read: Crockford base32, pairing codes with a check symbol, connector IDs, fingerprints.

The alphabet leaves out I, L, O and U; reading takes lower case and the look-alikes (Crockford, "Base 32", 2002).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECK_ALPHABET: Final = _ALPHABET + "*~$=U"
_LOOK_ALIKE: Final = str.maketrans({"I": "1", "L": "1", "O": "0"})

CODE_SYMBOLS: Final = 8
CONNECTOR_ID_SYMBOLS: Final = 8


def base32(value: int, symbols: int) -> str:
    """Write the lowest `5 * symbols` bits of a number."""
    return "".join(_ALPHABET[(value >> (5 * at)) & 31] for at in reversed(range(symbols)))


def make_code(chance: bytes) -> str:
    """Make a pairing code of 8 symbols and a check symbol, such as `7KQ2-M9XF-3`, from at least 5 random bytes."""
    symbols = base32(int.from_bytes(chance[:5], "big"), CODE_SYMBOLS)
    return f"{symbols[:4]}-{symbols[4:]}-{_check_symbol(symbols)}"


def read_code(typed: str) -> str | None:
    """Return the 8 plain symbols of a code as typed, or None where its check symbol (or anything else) does not fit.

    Spaces and dashes are ignored, case does not matter, I and L read as 1, O as 0. Nobody else has to be asked:
    a typing error costs no attempt (SECURITY, pairing).
    """
    letters = "".join(typed.split()).replace("-", "").upper()
    if len(letters) != CODE_SYMBOLS + 1:
        return None
    symbols, check = letters[:-1].translate(_LOOK_ALIKE), letters[-1].translate(_LOOK_ALIKE)
    if any(symbol not in _ALPHABET for symbol in symbols) or check != _check_symbol(symbols):
        return None
    return symbols


def _check_symbol(symbols: str) -> str:
    value = 0
    for symbol in symbols:
        value = value * 32 + _ALPHABET.index(symbol)
    return _CHECK_ALPHABET[value % 37]


def make_connector_id(chance: bytes) -> str:
    """Make a connector ID such as `Q7M2-9XKF` from at least 5 random bytes."""
    symbols = base32(int.from_bytes(chance[:5], "big"), CONNECTOR_ID_SYMBOLS)
    return f"{symbols[:4]}-{symbols[4:]}"


def read_connector_id(typed: str) -> str | None:
    """Return a connector ID in its written form from what a person typed, or None where it cannot be one."""
    symbols = "".join(typed.split()).replace("-", "").upper().translate(_LOOK_ALIKE)
    if len(symbols) != CONNECTOR_ID_SYMBOLS or any(symbol not in _ALPHABET for symbol in symbols):
        return None
    return f"{symbols[:4]}-{symbols[4:]}"


def fingerprint(secret_free: bytes) -> str:
    """Return the short text both sides show for people to compare: 50 bits in two groups of five symbols."""
    digest = int.from_bytes(sha256(b"pairhub fingerprint 1" + secret_free).digest()[:7], "big")
    symbols = base32(digest, 10)
    return f"{symbols[:5]}-{symbols[5:]}"
