"""Takes out of texts what must not leave the machine: secrets, codes, names of people, addresses of e-mail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from shared.logs import without_secrets

LEFT_OUT: Final = "(left out)"
# Shorter texts stand everywhere by chance; a secret or a name as short as that tells nobody anything.
_SECRET_CHARS_MIN: Final = 4
_NAME_CHARS_MIN: Final = 2
# The last net, under what is known: pairing codes, e-mail addresses, home directories, long texts without a break.
_SHAPES: Final = (
    (re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z](?![0-9A-Za-z-])"), LEFT_OUT),
    (re.compile(r"[^\s@<>\"'=,;:(]+@[^\s@<>\"',;)]+\.[A-Za-z0-9-]+"), LEFT_OUT),
    (re.compile(r"(?<![^\s\"'=(:])(/home|/Users)/[^/\s\"']+"), r"\1/" + LEFT_OUT),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), LEFT_OUT),
    (re.compile(r"(?<![A-Za-z0-9+_/.-])[A-Za-z0-9+_]{43,}={0,2}"), LEFT_OUT),
)


class Redactor:
    """Knows the secrets and the people of one daemon. What it does not know it goes by shape."""

    def __init__(self, secrets: Iterable[str], names: Iterable[str]) -> None:
        hidden = sorted({text for text in secrets if len(text) >= _SECRET_CHARS_MIN}, key=len, reverse=True)
        people = sorted({text for text in names if len(text) >= _NAME_CHARS_MIN}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, hidden))) if hidden else None
        self._names = (
            re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, people)) + r")(?!\w)", re.IGNORECASE) if people else None
        )

    def text(self, text: str) -> str:
        """Return a text without any of it."""
        if self._secrets is not None:
            text = self._secrets.sub(LEFT_OUT, text)
        text = without_secrets(text)
        for pattern, shown in _SHAPES:
            text = pattern.sub(shown, text)
        return text if self._names is None else self._names.sub("(a person)", text)

    def value(self, value: Any) -> Any:
        """Return what JSON can hold, without any of it; the names of fields stay, for they are ours."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.value(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(part) for part in value]
        return value
