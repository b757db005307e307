"""Hosts that no resolver takes, and the address to listen on that is one of them."""

from __future__ import annotations

import pytest

from shared.host_names import is_host
from shared.serving import listen
from shared.settings import AddressUnavailable


@pytest.mark.parametrize("host", ["broker", "192.168.1.10", "fe80::1%eth0", "::1", "müller.example", "a.example."])
def test_what_a_resolver_can_be_asked_for_is_a_host(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", ["", "192.168.1..10", ".example", "x" * 64 + ".example", "a\0b"])
def test_what_no_resolver_takes_is_none_and_nothing_listens_on_it(host: str) -> None:
    assert not is_host(host)
    if host:
        with pytest.raises(AddressUnavailable) as unavailable:
            listen(host, 0)
        assert unavailable.value.name == "host"
