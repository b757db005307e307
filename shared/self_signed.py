"""A certificate that a daemon makes for itself: a small authority of its own, and a server certificate under it.

Whoever trusts `ca.pem` (a site by `hub_ca`, a browser) need not be told of renewals: those change the server's
certificate only. The authority may speak for the names it was made for and no others, so that its key, which lies in
the data directory, is worth nothing elsewhere.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import StorageFailed
from shared.limits import CERTIFICATE_WARN_MS, DAY_MS, SELF_SIGNED_CA_MS, SELF_SIGNED_MS
from shared.listening import address_of
from shared.private_files import write_secret


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """Where the pair lies: `ca.pem` is for those who are to trust it; the rest stays here."""

    folder: Path

    @property
    def cert(self) -> Path:
        """The server's certificate, followed by the authority's."""
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.folder / "key.pem"

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.pem"

    def named(self, prefix: str) -> dict[str, Path]:
        """Return all four files by the names under which a backup holds them."""
        return {f"{prefix}/{path.name}": path for path in (self.ca, self._ca_key, self.cert, self.key)}

    def ensure(self, names: tuple[str, ...], now_ms: int) -> bool:
        """Make or renew what is missing, has other names, or ends soon; return whether anything is new.

        Raises StorageFailed.
        """
        found = self._found()
        if found is None or not _serves(found[0], names, now_ms, SELF_SIGNED_MS):
            authority, authority_key = self._make_authority(names, now_ms)
        elif self.cert.exists() and self.key.exists() and _is_fresh(_certificate(self.cert), now_ms):
            return False
        else:
            authority, authority_key = found
        self._make_server(names, now_ms, authority, authority_key)
        return True

    def _found(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
        if not (self.ca.exists() and self._ca_key.exists()):
            return None
        try:
            key = load_pem_private_key(self._ca_key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise StorageFailed(
                f"the key {self._ca_key} cannot be read: {error}; move it away for a new one"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StorageFailed(f"{self._ca_key} holds another kind of key; move it away for a new one")
        return _certificate(self.ca), key

    @property
    def _ca_key(self) -> Path:
        return self.folder / "ca.key"

    def _make_authority(
        self, names: tuple[str, ...], now_ms: int
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Pairhub authority of {names[-1]}"[:64])
        made = (
            _builder(name, name, key.public_key(), now_ms, SELF_SIGNED_CA_MS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.NameConstraints([_permitted(each) for each in names], None), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_secret(self._ca_key, _private(key))
        write_secret(self.ca, made.public_bytes(Encoding.PEM))
        return made, key

    def _make_server(
        self,
        names: tuple[str, ...],
        now_ms: int,
        authority: x509.Certificate,
        authority_key: ec.EllipticCurvePrivateKey,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        made = (
            _builder(_name("Pairhub"), authority.subject, key.public_key(), now_ms, SELF_SIGNED_MS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        write_secret(self.key, _private(key))
        write_secret(self.cert, made.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM))


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names and addresses that a certificate speaks for, sorted."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    return tuple(sorted([*found.get_values_for_type(x509.DNSName), *addresses]))


def _serves(authority: x509.Certificate, names: tuple[str, ...], now_ms: int, needed_ms: int) -> bool:
    """Tell whether an authority was made for these very names and outlives what it is to sign."""
    allowed = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    same = sorted(map(str, allowed)) == sorted(str(_permitted(each)) for each in names)
    return same and _ends_ms(authority) - now_ms > needed_ms


def _is_fresh(certificate: x509.Certificate, now_ms: int) -> bool:
    """Tell whether a certificate is good for long; one that a clock far ahead has made is not good yet."""
    begins_ms = int(certificate.not_valid_before_utc.timestamp() * 1000)
    return begins_ms <= now_ms < _ends_ms(certificate) - CERTIFICATE_WARN_MS


def _ends_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StorageFailed(f"the certificate {path} cannot be read: {error}; move it away for a new one") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now_ms: int, life_ms: int
) -> x509.CertificateBuilder:
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A day back: clocks of those who check it may be behind.
        .not_valid_before(now - dt.timedelta(milliseconds=DAY_MS))
        .not_valid_after(now + dt.timedelta(milliseconds=life_ms))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    address = address_of(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _permitted(name: str) -> x509.GeneralName:
    """Return the subtree of one name: constraints write addresses as networks, and names without a star."""
    address = address_of(name)
    if address is None:
        return x509.DNSName(name.removeprefix("*."))
    return x509.IPAddress(ip_network(address))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
