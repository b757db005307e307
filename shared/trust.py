"""Which certificates are good at an address: what this machine trusts, loaded once and only where TLS is spoken."""

from __future__ import annotations

import ssl
from functools import cache

import httpx2


def trust_for(url: str) -> ssl.SSLContext:
    """Return what a client of this address verifies with, as one context for all of them.

    To load what a machine trusts takes 50 ms of processor time, and a client that is told nothing loads it, even for
    plain http. There it gets a context that trusts nobody: what asks it after all, finds every certificate wrong.
    """
    return _this_machine() if url.lower().startswith("https:") else _nobody()


@cache
def _this_machine() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)  # the environment names no authority, as it names no proxy


@cache
def _nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
