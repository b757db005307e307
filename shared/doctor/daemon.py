"""The check of the daemon that runs with a data directory, by the addresses that probes use."""

from __future__ import annotations

from pathlib import Path

import httpx2
import msgspec

from shared.address_file import ADDRESS_FILE, local_trust
from shared.doctor.findings import Finding, failed, ok, warning
from shared.http_answers import answer_to, body_of
from shared.trust import trust_for

_ANSWER_S = 5.0
_ANSWER_BYTES_MAX = 1024 * 1024


class _Ready(msgspec.Struct):
    status: str = ""
    reasons: list[str] = []


async def check_daemon(data_dir: Path, start_with: str) -> Finding:
    """Ask the daemon whether it does its work. One that does not run is a warning: the doctor is asked then, too."""
    check = "daemon"
    try:
        url = (data_dir / ADDRESS_FILE).read_text(encoding="utf-8").strip()
    except PermissionError:
        return warning(check, f"{data_dir} cannot be read", "run this as the daemon's user")
    except OSError:
        return warning(check, f"none has run with {data_dir}", f"start it: {start_with}")
    trust = local_trust(data_dir)
    try:
        async with (
            httpx2.AsyncClient(timeout=_ANSWER_S, trust_env=False, verify=trust or trust_for(url)) as http,
            answer_to(http, "GET", url + "/readyz", deadline_s=_ANSWER_S) as answer,
        ):
            body = await body_of(answer, _ANSWER_BYTES_MAX)
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        return warning(check, f"it does not run; it was at {url}", f"start it: {start_with}")
    except (httpx2.HTTPError, OSError) as error:
        return failed(
            check,
            f"{url} does not answer: {str(error) or type(error).__name__}",
            "it hangs; restart it, and keep its log",
        )
    try:
        told = msgspec.json.decode(body, type=_Ready)
    except msgspec.DecodeError:
        return warning(
            check,
            f"something else answers at {url}",
            "another program took its port; start the daemon, and see its log",
        )
    if answer.status_code == 200:
        return ok(check, f"runs at {url} and does its work")
    return failed(
        check,
        f"runs at {url}: {'; '.join(told.reasons) or told.status}",
        "the other checks, and the page 'repairs', say what to do",
    )
