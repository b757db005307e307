"""The self-made certificate under a clock that jumps (G5): it may have been made anew, and is good afterwards."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from shared.limits import DAY_MS
from shared.self_signed import SelfSigned

NOW_MS = 1_763_650_000_000


def valid(pair: SelfSigned, now_ms: int) -> bool:
    """Tell whether the server's certificate is good at a time."""
    found = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    begins, ends = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return begins <= now_ms / 1000 < ends


def test_g5_a_certificate_renewed_by_a_clock_two_years_ahead_is_made_anew_once_the_clock_is_right(
    tmp_path: Path,
) -> None:
    pair = SelfSigned(tmp_path)
    assert pair.ensure(("plant",), NOW_MS)
    authority = pair.ca.read_bytes()
    assert not pair.ensure(("plant",), NOW_MS + DAY_MS)
    assert pair.ensure(("plant",), NOW_MS + 730 * DAY_MS)
    assert not valid(pair, NOW_MS)
    assert pair.ensure(("plant",), NOW_MS + DAY_MS)
    assert valid(pair, NOW_MS + DAY_MS)
    assert pair.ca.read_bytes() == authority, "who trusts it need not be told"
