"""Joining a hub (SECURITY, joining a hub): nonces, link assertions, enrolment tokens and the bodies of their requests.

HTTP, all under the hub's address:
  GET  /connector/v1/nonce            -> NonceAnswer (JSON)
  POST /connector/v1/enrol            EnrolRequest (JSON) -> EnrolAnswer (JSON)
  POST /connector/v1/present          PresentRequest (JSON): an enrolment certificate, for a hub that lost its disk
  GET  /connector/v1/link             WebSocket; `Authorization: Bearer <assertion>` and `Pairhub-Start: <hex>`
Refusals are JSON {"code", "message", "facts"} with the status of shared.errors.REFUSALS.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.errors import Refused
from shared.limits import ASSERTION_LIFE_S, NONCE_LIFE_S

NONCE_PATH: Final = "/connector/v1/nonce"
ENROL_PATH: Final = "/connector/v1/enrol"
PRESENT_PATH: Final = "/connector/v1/present"
LINK_PATH: Final = "/connector/v1/link"
_AUDIENCE: Final = "pairhub-hub:"


class NonceAnswer(msgspec.Struct, frozen=True):
    """A nonce for one assertion, the hub's public key (hex) and clock (ms), and whether it enrols without tokens."""

    nonce: str
    hub_key: str
    time_ms: int
    open_enrolment: bool
    protocol: tuple[int, int]


class EnrolRequest(msgspec.Struct, frozen=True):
    """A site asks to be known: token (empty under open enrolment), UUID, name, public keys (hex), and a proof.

    `proof` is an assertion (below) made with the hub key the request names, so that nobody enrols another's key.
    """

    token: str
    site_id: str
    site_name: str
    hub_key: str
    identity_key: str
    proof: str


class EnrolAnswer(msgspec.Struct, frozen=True):
    """The hub-signed enrolment (hex of shared.certificates.pack) and the hub's public key (hex)."""

    certificate: str
    hub_key: str


class PresentRequest(msgspec.Struct, frozen=True):
    """A site shows its enrolment (hex) to a hub that does not know it any more."""

    certificate: str


class Assertion(msgspec.Struct, frozen=True):
    """What a checked assertion says: the site, the connector the link is for, and its one-use id."""

    site_id: str
    connector_id: str
    token_id: str
    nonce: str


def make_assertion(
    key: Ed25519PrivateKey, *, site_id: str, connector_id: str, hub_key: str, nonce: str, token_id: str, now_s: float
) -> str:
    """Return a short EdDSA token (RFC 7519, 8037) that opens one link of one connector at one hub."""
    claims = {
        "iss": site_id,
        "sub": connector_id,
        "aud": _AUDIENCE + hub_key,
        "iat": int(now_s),
        "exp": int(now_s) + ASSERTION_LIFE_S,
        "jti": token_id,
        "nonce": nonce,
    }
    return jwt.encode(claims, key, algorithm="EdDSA")


def claimed_site(assertion: str) -> str:
    """Return the site UUID an assertion claims, unchecked, so that its key can be looked up; raises Refused."""
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False, "verify_exp": False, "verify_aud": False})
        return str(claims["iss"])
    except (jwt.PyJWTError, KeyError) as error:
        raise Refused("assertion_refused", why="it is malformed") from error


def check_assertion(assertion: str, *, public_key: bytes, hub_key: str) -> Assertion:
    """Check signature and audience; raises Refused('assertion_refused').

    Its age is judged by the hub's nonce inside (check_nonce), not by `exp`: a gateway with a wrong clock is not kept
    out, and a nonce is good once and for NONCE_LIFE_S only.
    """
    try:
        claims = jwt.decode(
            assertion,
            Ed25519PublicKey.from_public_bytes(public_key),
            algorithms=["EdDSA"],
            audience=_AUDIENCE + hub_key,
            options={"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "aud", "jti", "iat", "exp"]},
        )
        if not 0 < int(claims["exp"]) - int(claims["iat"]) <= ASSERTION_LIFE_S:
            raise Refused("assertion_refused", why="its life is too long")
        return Assertion(str(claims["iss"]), str(claims["sub"]), str(claims["jti"]), str(claims["nonce"]))
    except (jwt.PyJWTError, KeyError, ValueError) as error:
        raise Refused("assertion_refused", why=str(error)) from error


def make_nonce(secret: bytes, *, now_s: float, chance: bytes) -> str:
    """Return a nonce that needs no storage to be checked: time, 8 random bytes and a MAC over both, in hex."""
    body = int(now_s).to_bytes(8, "big") + chance[:8]
    return (body + hmac.digest(secret, body, sha256)[:16]).hex()


def check_nonce(nonce: str, secret: bytes, *, now_s: float) -> None:
    """Raise Refused('assertion_refused') unless this hub made the nonce within NONCE_LIFE_S (single use is the caller's)."""
    try:
        raw = bytes.fromhex(nonce)
    except ValueError as error:
        raise Refused("assertion_refused", why="its nonce is malformed") from error
    body, mac = raw[:16], raw[16:]
    if not hmac.compare_digest(mac, hmac.digest(secret, body, sha256)[:16]):
        raise Refused("assertion_refused", why="its nonce is not of this hub's making")
    if not -1 <= now_s - int.from_bytes(body[:8], "big") <= NONCE_LIFE_S:
        raise Refused("assertion_refused", why="its nonce is too old")


TOKEN_PREFIX: Final = "phe_"  # noqa: S105  # public: scanners look for it


def make_enrolment_token(chance: bytes) -> str:
    """Return `phe_` + 32 hex digits + 8 hex digits of a checksum, so that scanners can find leaked ones."""
    body = chance[:16].hex()
    return TOKEN_PREFIX + body + _checksum(body)


def token_digest(token: str) -> bytes | None:
    """Return the SHA-256 by which a token is stored, or None where it is not even well formed."""
    token = token.strip()
    body, check = token[len(TOKEN_PREFIX) : -8], token[-8:]
    if not token.startswith(TOKEN_PREFIX) or len(body) != 32 or check != _checksum(body):
        return None
    return sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    return sha256((TOKEN_PREFIX + body).encode()).hexdigest()[:8]
