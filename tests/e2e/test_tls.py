"""TLS over real sockets: a hub with a certificate of its own, sites that trust it or not, and renewals under way."""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from connector.hub_client import HubClient
from connector.hub_way import hub_way
from connector.serve import running_site
from connector.settings import SiteSettings
from hub.serve import RunningHub, running_hub
from hub.settings import HubSettings
from shared import served_certificate
from shared.errors import LinkLost, Refused
from shared.exit_codes import ExitCode
from shared.limits import DAY_MS, SELF_SIGNED_MS
from shared.rig.client import ApiClient, local_client, operator_token, until
from shared.self_signed import SelfSigned
from shared.settings import SettingWrong
from tests.e2e.way_out import way_out

pytestmark = pytest.mark.e2e


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let daemons of this process look at their certificates more often: seconds of waiting prove nothing."""
    monkeypatch.setattr(served_certificate, "CERTIFICATE_LOOK_S", 0.1)


NAMES = ("localhost", "127.0.0.1", "hub.plants.example")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def made(folder: Path, *names: str, ends_in_ms: int = SELF_SIGNED_MS) -> SelfSigned:
    """Make a certificate for these names that ends in so many milliseconds."""
    pair = SelfSigned(folder)
    pair.ensure(names, now_ms() + ends_in_ms - SELF_SIGNED_MS)
    return pair


async def serial_at(url: str, ca: Path) -> str:
    """Connect anew; return the serial number of the certificate that is shown, in lower-case hex."""
    host, port = url.removeprefix("https://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context(cafile=ca))
    with closing(writer):
        return str(writer.get_extra_info("peercert")["serialNumber"]).lower().lstrip("0")


async def _problem(hub: RunningHub) -> str:
    assert hub.hub.certificate is not None
    return hub.hub.certificate.problem


async def words_of(way: HubClient) -> str:
    """Ask a hub for a nonce, which has to fail; return the words."""
    try:
        with pytest.raises((Refused, LinkLost)) as caught:
            await way.nonce()
        return str(caught.value)
    finally:
        await way.close()


@pytest.mark.usefixtures("looks_often")
async def test_a_site_links_by_hub_ca_and_stays_linked_while_the_certificate_is_renewed(tmp_path: Path) -> None:
    pair = made(tmp_path / "tls", *NAMES)
    hub_settings = HubSettings(
        port=0, data_dir=tmp_path / "hub", open_enrolment=True, tls_cert=pair.cert, tls_key=pair.key
    )
    async with running_hub(hub_settings) as hub:
        assert hub.url.startswith("https://127.0.0.1:")
        site_settings = SiteSettings(
            port=0, data_dir=tmp_path / "site", site_name="plant", hub_url=hub.url, hub_ca=pair.ca
        )
        async with (
            running_site(site_settings) as site,
            ApiClient(site.url, operator_token(site_settings.data_dir)) as api,
        ):
            connector_id = (await api.post("/connectors", {"name": "m"}))["connector_id"]
            await api.post(f"/connectors/{connector_id}/remote-sync")

            async def linked() -> bool:
                return bool(hub.hub.links)

            await until(linked, timeout_s=10, what="the site to link")
            # A name in the certificate is a name of the hub.
            named = HubClient(hub_way(hub.url, pair.ca))
            named._http.headers["Host"] = "hub.plants.example"
            assert (await named.nonce()).hub_key
            await named.close()
            before = await serial_at(hub.url, pair.ca)
            link = next(iter(hub.hub.links.values()))

            # Half of it first, which must neither be served nor spoil what is.
            stranger = made(tmp_path / "stranger", "localhost")
            pair.cert.write_bytes(stranger.cert.read_bytes())
            await until(lambda: _problem(hub), timeout_s=10, what="the hub to see that the key does not fit")
            assert await serial_at(hub.url, pair.ca) == before
            pair.cert.unlink()
            pair.ensure(NAMES, now_ms())

            async def renewed() -> bool:
                return await serial_at(hub.url, pair.ca) != before

            await until(renewed, timeout_s=10, what="the hub to serve the new certificate")
            assert next(iter(hub.hub.links.values())) is link
            assert not link.leaving

            async with local_client(
                tmp_path / "hub"
            ) as local:  # by the certificate in the directory, whatever its name
                told = (await local.get("/status"))["certificate"]
            assert told["serial"] == await serial_at(hub.url, pair.ca)
            assert (told["names"], told["warning"], told["days_left"] > 390) == (sorted(NAMES), "", True)


@pytest.mark.usefixtures("looks_often")
@pytest.mark.usefixtures("looks_often")
async def test_n6_a_certificate_renewed_while_the_directory_takes_nothing_ends_no_hub(tmp_path: Path) -> None:
    pair = made(tmp_path / "tls", *NAMES)
    own = HubSettings(port=0, data_dir=tmp_path / "hub", open_enrolment=True, tls_cert=pair.cert, tls_key=pair.key)
    async with running_hub(own) as hub:
        address = tmp_path / "hub" / "address"
        address.unlink()
        address.mkdir()  # refused as by a full disk
        before = await serial_at(hub.url, pair.ca)
        pair.cert.unlink()
        pair.ensure(NAMES, now_ms())

        async def is_served() -> bool:
            return await serial_at(hub.url, pair.ca) != before

        await until(is_served, what="the renewed certificate to be served")
        address.rmdir()

        async def is_left() -> bool:
            return address.is_file()

        await until(is_left, what="the address to be left, now that there is room")


async def test_a_site_says_in_words_why_it_does_not_trust_its_hub(tmp_path: Path) -> None:
    pair, other = made(tmp_path / "tls", "127.0.0.1"), made(tmp_path / "other", "127.0.0.1")
    settings = HubSettings(port=0, data_dir=tmp_path / "hub", tls_cert=pair.cert, tls_key=pair.key)
    async with running_hub(settings) as hub:
        by_name = hub.url.replace("127.0.0.1", "localhost")
        assert "authority is not known here; name the file" in await words_of(HubClient(hub_way(hub.url, other.ca)))
        assert "authority is not known here" in await words_of(HubClient(hub_way(hub.url)))
        assert "for another name than the one in hub_url" in await words_of(HubClient(hub_way(by_name, pair.ca)))
        assert "cannot be reached" in await words_of(HubClient(hub_way(hub.url.replace("https", "http"), pair.ca)))
        ended = made(tmp_path / "ended", "127.0.0.1", ends_in_ms=-DAY_MS)
        ended.cert.replace(pair.cert)
        ended.key.replace(pair.key)

        async def expired() -> bool:
            return "it has expired" in await words_of(HubClient(hub_way(hub.url, ended.ca)))

        await until(expired, timeout_s=10, what="the hub to load what it is given")
        async with local_client(tmp_path / "hub") as local:
            told = (await local.get("/status"))["certificate"]
        assert "ended on" in told["warning"]
        assert told["days_left"] < 0
    plain = HubSettings(port=0, data_dir=tmp_path / "plain")
    async with running_hub(plain) as hub:
        words = await words_of(HubClient(hub_way(hub.url.replace("http", "https"), pair.ca)))
        assert "does not speak TLS" in words


@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_a_site_takes_the_proxy_of_its_setting_and_none_of_the_environment(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    pair = made(tmp_path / "tls", "127.0.0.1")
    hub_settings = HubSettings(
        port=0, data_dir=tmp_path / "hub", open_enrolment=True, tls_cert=pair.cert, tls_key=pair.key
    )
    async with running_hub(hub_settings) as hub, way_out(kind) as proxy:
        direct = HubClient(hub_way(hub.url, pair.ca))
        assert (await direct.nonce()).nonce
        await direct.close()
        assert proxy.passed == 0
        settings = SiteSettings(
            port=0, data_dir=tmp_path / "site", hub_url=hub.url, hub_ca=pair.ca, hub_proxy=proxy.url
        )
        async with running_site(settings) as site, ApiClient(site.url, operator_token(settings.data_dir)) as api:
            connector_id = (await api.post("/connectors", {"name": "m"}))["connector_id"]
            await api.post(f"/connectors/{connector_id}/remote-sync")

            async def linked() -> bool:
                return bool(hub.hub.links)

            await until(linked, timeout_s=10, what="the site to link through the proxy")
            assert proxy.passed >= 2  # requests, and the link
    away = HubClient(hub_way(hub.url, pair.ca, proxy.url.replace("//", "//ada:secret@")))
    words = await words_of(away)
    assert proxy.url in words
    assert "secret" not in words


async def test_a_certificate_of_its_own_is_private_and_renewed_under_the_same_authority(tmp_path: Path) -> None:
    pair = made(tmp_path / "tls", "127.0.0.1", "plant")
    assert {path.stat().st_mode & 0o777 for path in pair.folder.iterdir()} == {0o600}
    authority, before = pair.ca.read_bytes(), pair.cert.read_bytes()
    assert not pair.ensure(("127.0.0.1", "plant"), now_ms())
    assert pair.ensure(("127.0.0.1", "plant"), now_ms() + SELF_SIGNED_MS - 29 * DAY_MS)
    assert (pair.ca.read_bytes(), pair.cert.read_bytes() != before) == (authority, True)
    assert pair.ensure(("127.0.0.1", "plant", "new.example"), now_ms())
    assert pair.ca.read_bytes() != authority


async def test_nothing_is_served_in_the_clear_beyond_this_machine_and_a_hangup_ends_no_daemon(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pairhub", "hub", "serve", "--host", "0.0.0.0", "--port", "0"]
    command += ["--data-dir", str(tmp_path / "hub")]
    pipe = asyncio.subprocess.PIPE
    async with asyncio.timeout(60):
        refused = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        _, err = await refused.communicate()
        assert refused.returncode == ExitCode.CONFIGURATION, err
        assert b"beyond this machine nothing is served in the clear" in err
        assert b"tls_self_signed = true" in err
        assert not (tmp_path / "hub").exists()

        served = await asyncio.create_subprocess_exec(*command, "--tls-self-signed", "true", stdout=pipe, stderr=pipe)
        assert served.stdout is not None
        line = (await served.stdout.readline()).decode()
        url = re.sub(r".*(https://\S+).*\n", r"\1", line)
        folder = tmp_path / "hub" / "tls"
        before = await serial_at(url, folder / "ca.pem")
        served.send_signal(signal.SIGHUP)
        assert await serial_at(url, folder / "ca.pem") == before
        served.terminate()
        _, err = await served.communicate()
        assert served.returncode == 0, err


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "192.0.2.1", "behind_proxy": True, "public_url": "https://a.example"}, "trusted_proxies"),
        ({"behind_proxy": True}, "public_url"),
        ({"public_url": "example.org"}, "public_url"),
        ({"public_url": "https://example.org/a//b"}, "public_url"),
        ({"tls_cert": Path("a.pem")}, "tls_key"),
        ({"tls_cert": Path("a.pem"), "tls_key": Path("b.pem"), "tls_self_signed": True}, "tls_self_signed"),
        ({"tls_cert": Path("a.pem"), "tls_key": Path("b.pem")}, "tls_cert"),
        ({"trusted_proxies": "10.0.0.0/33"}, "trusted_proxies"),
    ],
)
async def test_settings_that_leave_a_door_open_or_do_not_fit_are_refused(
    given: dict[str, object], culprit: str, tmp_path: Path
) -> None:
    settings = HubSettings(port=0, data_dir=tmp_path / "hub", **given)  # type: ignore[arg-type]
    with pytest.raises((SettingWrong, BaseExceptionGroup)) as caught:
        async with running_hub(settings):
            pass
    error = caught.value.exceptions[0] if isinstance(caught.value, BaseExceptionGroup) else caught.value
    assert isinstance(error, SettingWrong)
    assert error.name == culprit
