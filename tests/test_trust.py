"""Clients load what this machine trusts where TLS is spoken, and never verify less."""

from __future__ import annotations

import ssl

import pytest

from shared.trust import trust_for


@pytest.mark.parametrize("url", ["https://hub.example", "HTTPS://hub.example:8443/api"])
def test_https_is_verified_with_what_this_machine_trusts_loaded_once(url: str) -> None:
    trust = trust_for(url)
    assert trust.verify_mode is ssl.CERT_REQUIRED
    assert trust.check_hostname
    assert trust is trust_for("https://another.example")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", ""])
def test_plain_http_loads_no_authority_and_trusts_nobody(url: str) -> None:
    trust = trust_for(url)
    assert trust.verify_mode is ssl.CERT_REQUIRED
    assert trust.check_hostname
    assert trust.cert_store_stats()["x509"] == 0
