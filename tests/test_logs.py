"""Lines of the log: their fields, and what never stands in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from shared.logs import last_lines, set_up_logging, without_secrets
from web.tokens import RANDOM_BYTES, make_token


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("prefix", ["pho_", "phk_", "phs_", "phe_"])
def test_tokens_of_every_kind_are_taken_out(prefix: str) -> None:
    token = make_token(prefix, bytes(range(RANDOM_BYTES)))
    said = without_secrets(f"GET /setup?token={token} failed")
    assert said == f"GET /setup?token={prefix}... failed"


def test_bearer_tokens_and_passwords_in_addresses_are_taken_out() -> None:
    assert without_secrets("{'Authorization': 'Bearer eyJ.a-b_c.d'}") == "{'Authorization': 'Bearer ...'}"
    assert without_secrets("through http://ann:pass@proxy:3128: no") == "through http://...@proxy:3128: no"
    assert without_secrets("paired with 'plant', phase_two at http://hub:8470") == (
        "paired with 'plant', phase_two at http://hub:8470"
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_names_connector_and_pair_and_an_exception_keeps_no_secret(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = make_token("phk_", bytes(RANDOM_BYTES))
    set_up_logging("info", "json" if form == "json" else "text")
    log = logging.getLogger("connector.sample")
    log.info("linked", extra={"connector": "AB12", "pair": "ff00"})
    try:
        raise ValueError(token)
    except ValueError:
        log.exception("it broke")
    err = capsys.readouterr().err
    assert token not in err
    if form == "text":
        first, second, *rest = err.splitlines()
        assert first.endswith("INFO    connector.sample: linked [connector=AB12 pair=ff00]")
        assert second.endswith("ERROR   connector.sample: it broke")
        assert rest[-1] == "  ValueError: phk_..."
    else:
        first, second = (json.loads(line) for line in err.splitlines())
        assert first["time"].endswith("+00:00")
        del first["time"]
        assert first == {
            "level": "info",
            "from": "connector.sample",
            "message": "linked",
            "connector": "AB12",
            "pair": "ff00",
        }
        assert second["exception"].endswith("ValueError: phk_...")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_others_wrote_never_makes_a_line_that_looks_like_one_of_ours(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("info", "json" if form == "json" else "text")
    forged = "1999-11-21 19:00:00,000 WARNING hub.hub: Closing the link of plant"
    log = logging.getLogger("hub.sample")
    log.info("Heard: %s", f"a\n{forged}\r\u2028\x1b[2J", extra={"connector": f"\ud800\n{forged}"})
    try:
        raise ValueError(f"b\n{forged}")
    except ValueError:
        log.exception("it broke")
    err = capsys.readouterr().err
    assert not any(line.startswith("1999") for text in (err, "\n".join(last_lines())) for line in text.split("\n"))
    assert not {"\r", "\x1b", "\u2028"} & set(err)
    first = err.split("\n")[0]
    heard = json.loads(first)["message"] if form == "json" else first
    assert f"Heard: a\\n{forged}\\r\\u2028\\x1b[2J" in heard
