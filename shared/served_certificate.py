"""The certificate a daemon serves with: loaded, looked at, and loaded again when its files change.

Connections that are open keep what they began with; those that begin after a reload get the new certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from shared.clock import Clock
from shared.errors import StorageFailed
from shared.limits import CERTIFICATE_LOOK_S, CERTIFICATE_WARN_MS, DAY_MS
from shared.listening import ListenSettings, certificate_names
from shared.self_signed import SelfSigned, names_in
from shared.settings import SettingWrong

_log = logging.getLogger(__name__)
TLS_FOLDER = "tls"
_Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says: the fingerprint is the SHA-256 of its bytes, in hex with colons, as browsers show it.

    `pem` is the certificate alone, without its chain.
    """

    names: tuple[str, ...]
    ends_ms: int
    serial: int
    fingerprint: str
    pem: bytes


class CertificateStatus(msgspec.Struct, frozen=True):
    """The certificate of a daemon, for people: `warning` is empty where all is well, `days_left` negative after the end."""

    self_signed: bool
    names: list[str]
    ends_ms: int
    days_left: int
    serial: str
    fingerprint: str
    warning: str


class HearsHangups(Protocol):
    """A server that says when it got SIGHUP."""

    on_hangup: Callable[[], object]


class ServedCertificate:
    """One certificate with its key. `context` serves it; `watch` keeps it current."""

    def __init__(
        self,
        cert: Path,
        key: Path,
        clock: Clock,
        renew: Callable[[], bool] | None = None,
    ) -> None:
        """Load the pair; raises SettingWrong where it cannot be used. `renew` is asked before each look at the files."""
        self._cert = cert
        self._key = key
        self._clock = clock
        self._renew = renew
        self._warned_day: int | None = None
        self.is_self_signed = renew is not None
        self.problem = ""
        """Why the files that are there now are not served; empty where they are."""
        self.context = _context()
        self._signature = self._look()
        self.facts = self._load()

    def refresh(self) -> bool:
        """Load the files again where they have changed; return whether another certificate is served now.

        What cannot be used is said in the log and in `problem`; the certificate that is loaded goes on being served.
        """
        try:
            if self._renew is not None and self._renew():
                _log.info("Renewed the certificate %s", self._cert)
            seen = self._look()
            if seen == self._signature:
                return False
            before, self.facts = self.facts, self._load()
        except (SettingWrong, StorageFailed) as error:
            if self.problem != str(error):
                self.problem = str(error)
                _log.warning("The certificate stays as it is: %s", error)
            return False
        self._signature, self.problem, self._warned_day = seen, "", None
        if self.facts.serial == before.serial and self.facts.fingerprint == before.fingerprint:
            return False
        _log.info("Loaded another certificate: serial %x, good until %s", self.facts.serial, day(self.facts.ends_ms))
        return True

    async def watch(self, server: HearsHangups, on_new: Callable[[], None]) -> None:
        """Look at the files every CERTIFICATE_LOOK_S and at SIGHUP, and warn once a day before the end, until cancelled.

        `on_new` is called when another certificate is served, and again at each look where it raised StorageFailed.
        """
        look_now, is_owed = asyncio.Event(), False
        server.on_hangup = look_now.set
        while True:
            self.warn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CERTIFICATE_LOOK_S):
                    await look_now.wait()
            look_now.clear()
            # Not in a thread: a handshake must not meet a context that is being loaded.
            if self.refresh() or is_owed:
                is_owed = not self._tell(on_new, is_again=is_owed)

    def _tell(self, on_new: Callable[[], None], *, is_again: bool) -> bool:
        """Return whether it was told: a disk that refuses must not end the daemon, which goes on with what is live."""
        try:
            on_new()
        except StorageFailed as error:
            if not is_again:
                _log.warning("Another certificate is served, but not everybody can be told: %s", error)
            return False
        return True

    def warn(self) -> None:
        """Log once a day that the certificate ends within CERTIFICATE_WARN_MS."""
        now_ms = self._clock.wall_ms()
        if (words := self.warning(now_ms)) and self._warned_day != now_ms // DAY_MS:
            self._warned_day = now_ms // DAY_MS
            _log.warning("%s", words)

    def warning(self, now_ms: int) -> str:
        """Say in a sentence that it has ended or ends soon; empty where neither is so."""
        left_ms = self.facts.ends_ms - now_ms
        if left_ms > CERTIFICATE_WARN_MS:
            return ""
        ended = "ended on" if left_ms <= 0 else f"ends in {left_ms // DAY_MS} days, on"
        return (
            f"The certificate {self._cert} {ended} {day(self.facts.ends_ms)}. Renew it; the daemon loads it by itself."
        )

    def status(self, now_ms: int) -> CertificateStatus:
        """Return what `status` and the API say of it."""
        return CertificateStatus(
            self.is_self_signed,
            list(self.facts.names),
            self.facts.ends_ms,
            (self.facts.ends_ms - now_ms) // DAY_MS,
            f"{self.facts.serial:x}",
            self.facts.fingerprint,
            self.problem or self.warning(now_ms),
        )

    def _look(self) -> _Signature:
        try:
            found = [path.stat() for path in (self._cert, self._key)]
        except OSError as error:
            name = "tls_cert" if Path(str(error.filename)) == self._cert else "tls_key"
            raise SettingWrong(name, str(error.filename), f"the file cannot be read: {error.strerror}") from error
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    def _load(self) -> CertificateFacts:
        """Try the pair in a context of its own first: a half-written one must not spoil the one that serves."""
        facts = _facts(self._cert)
        for context in (_context(), self.context):
            try:
                # Without a passphrase OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self._cert, self._key, password=lambda: "")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise SettingWrong(
                    "tls_key", str(self._key), f"it does not serve {self._cert}: {_why(error)}"
                ) from error
        return facts


def served_certificate(settings: ListenSettings, data_dir: Path, clock: Clock) -> ServedCertificate | None:
    """Return the certificate that the settings ask for, made where it is to be self-made; None for none.

    Raises SettingWrong, StorageFailed.
    """
    if settings.tls_self_signed:
        pair = SelfSigned(data_dir / TLS_FOLDER)
        names = certificate_names(settings)

        def renew() -> bool:
            return pair.ensure(names, clock.wall_ms())

        if renew():
            _log.info("Made a certificate of its own; who is to trust it needs %s", pair.ca)
        return ServedCertificate(pair.cert, pair.key, clock, renew)
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServedCertificate(settings.tls_cert, settings.tls_key, clock)


def day(at_ms: int) -> str:
    """Return a day for people, in UTC."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _facts(path: Path) -> CertificateFacts:
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise SettingWrong("tls_cert", str(path), f"the file cannot be read: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise SettingWrong("tls_cert", str(path), "the file holds no certificate in PEM form") from error
    return CertificateFacts(
        names_in(certificate),
        int(certificate.not_valid_after_utc.timestamp() * 1000),
        certificate.serial_number,
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        certificate.public_bytes(Encoding.PEM),
    )


def _why(error: Exception) -> str:
    text = str(error)
    if "KEY_VALUES_MISMATCH" in text or "key values mismatch" in text:
        return "the key belongs to another certificate"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return error.strerror
    return "it is no private key in PEM form, or it is protected by a passphrase; store it without one"
