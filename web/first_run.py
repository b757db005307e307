"""The first run: a one-time token, printed on the console, unlocks the set-up page. Pure: chance comes in.

Only its hash is kept. It has 256 random bits, so attempts need no counting: counting would let a stranger lock the
owner out. It is made anew at every start until somebody has used it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from web import tokens

SETUP_PREFIX = "phs_"


class SetupAnswer(StrEnum):
    """What became of a presented token."""

    ACCEPTED = "accepted"
    WRONG = "wrong"
    DONE = "done"
    """The first user exists: the page is closed for good."""


SETUP_ANSWERS = {
    SetupAnswer.WRONG: "This is not the token that the program printed when it started last.",
    SetupAnswer.DONE: "This place is set up already. Log in instead.",
}


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The state of the first run. `token_hash` is `None` once it is over."""

    token_hash: bytes | None

    @property
    def is_open(self) -> bool:
        """Whether the set-up page still waits for its token."""
        return self.token_hash is not None

    def judge(self, presented: str) -> SetupAnswer:
        """Say whether the token opens the page. Changes nothing: create the user first, then store `closed()`."""
        if self.token_hash is None:
            return SetupAnswer.DONE
        return SetupAnswer.ACCEPTED if tokens.matches(presented.strip(), self.token_hash) else SetupAnswer.WRONG

    def closed(self) -> "FirstRun":
        """Return the state after the first user was created."""
        return replace(self, token_hash=None)


def open_first_run(random_bytes: bytes) -> tuple[str, FirstRun]:
    """Return the token to print, made of 32 fresh random bytes, and the state to keep."""
    token = tokens.make_token(SETUP_PREFIX, random_bytes)
    return token, FirstRun(tokens.hash_token(token))
