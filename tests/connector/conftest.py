"""What all tests of a site share."""

import pytest
from argon2 import PasswordHasher

from web.passwords import Passwords


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at the lowest cost: the real one takes a tenth of a second and 64 MiB each time."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("connector.access.Passwords", lambda: Passwords(quick))
