"""A real mosquitto for tests: started, stopped, killed and started again on the same port and the same store."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connector.ingest.mqtt_desk import MqttDesk
from connector.ingest.mqtt_reader import ReaderStatus
from shared.rig.client import until
from tests.e2e.stage import free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@dataclass
class Broker:
    """One broker. `lines` are added to its configuration."""

    folder: Path
    lines: Iterable[str] = ("allow_anonymous true",)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it takes connections."""
        assert MOSQUITTO is not None, "mosquitto is missing; ./run test installs it"
        store = self.folder / "mosquitto"
        store.mkdir(mode=0o777, exist_ok=True)
        store.chmod(0o777)
        config = self.folder / "mosquitto.conf"
        listening = ("per_listener_settings false", f"listener {self.port} 127.0.0.1", *self.lines)
        keeping = ("user root", "persistence true", f"persistence_location {store}/", "max_queued_messages 0")
        config.write_text("\n".join((*keeping, *listening)) + "\n", encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-v", "-c", str(config)], stdout=log, stderr=log)  # noqa: ASYNC220

        async def up() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
            return False

        await until(up, what="mosquitto to listen")

    async def stop(self) -> None:
        """End it with SIGTERM: it writes down what it keeps."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def publish(self, *messages: tuple[str, Any], qos: int = 1, retain: bool = False) -> None:
        """Publish as another program would; returns once the broker has them."""
        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            for topic, payload in messages:
                await client.publish(topic, payload, qos=qos, retain=retain)


@asynccontextmanager
async def broker(folder: Path, *lines: str) -> AsyncIterator[Broker]:
    """Run a broker for the time of a block."""
    made = Broker(folder, lines or ("allow_anonymous true",))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def until_status(desk: MqttDesk, subscription_id: str, what: str, **wanted: Any) -> ReaderStatus:
    """Wait until the status of a subscription has these values."""

    async def fits() -> ReaderStatus | None:
        status = desk.status(subscription_id)
        return status if all(getattr(status, name) == value for name, value in wanted.items()) else None

    try:
        found: ReaderStatus = await until(fits, what=what, timeout_s=20, every_s=0.02)
    except Exception as error:
        raise AssertionError(f"{error}; status: {desk.status(subscription_id)}") from error
    return found


def make_certificates(folder: Path) -> Path:
    """Write a CA (ca.pem), and a certificate that it signed for localhost (server.pem, server.key); return the CA's file."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plant CA")])
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, is_ca=True)
    server = _certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), ca_name, key, ca_key, is_ca=False
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.pem"


def _certificate(subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, *, is_ca: bool) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(signer, hashes.SHA256())
    )
