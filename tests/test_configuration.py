"""`config show` and `completion`, as people type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from connector.settings import SETTINGS_NAME, SiteSettings
from hub.settings import SETTINGS_NAME as HUB_NAME
from hub.settings import HubSettings
from shared.exit_codes import ExitCode
from shared.settings import describe, load
from shared.settings_report import REDACTED, report, report_lines


def pairhub(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PAIRHUB_")}
    command = [sys.executable, "-m", "pairhub", *map(str, words)]
    return subprocess.run(command, env={**clean, **environ}, capture_output=True, text=True, timeout=60, check=False)


def test_config_show_names_each_value_and_where_it_came_from(tmp_path: Path) -> None:
    config = tmp_path / "pairhub.toml"
    config.write_text('[site]\nsite_name = "plant"\nretention_days = 5\nwindow_minutes = 4\n')
    shown = pairhub(
        *("config", "show", "site", "--config", config, "--window-minutes", "6", "--json"),
        PAIRHUB_SITE_RETENTION_DAYS="7",
        PAIRHUB_SITE_ENROLMENT_TOKEN="top secret",
    )
    assert shown.returncode == ExitCode.OK, shown.stderr
    found = json.loads(shown.stdout)
    assert list(found) == [one.name for one in describe(SiteSettings, name=SETTINGS_NAME)]
    assert found["port"] == {"value": 8471, "source": "default"}
    assert found["site_name"] == {"value": "plant", "source": f"[site] in {config}"}
    assert found["retention_days"] == {"value": 7.0, "source": "environment variable PAIRHUB_SITE_RETENTION_DAYS"}
    assert found["window_minutes"] == {"value": 6.0, "source": "flag --window-minutes"}
    assert found["enrolment_token"]["value"] == REDACTED
    assert "top secret" not in shown.stdout + shown.stderr


def test_config_show_of_a_wrong_setting_ends_like_the_daemon_would() -> None:
    shown = pairhub("config", "show", "hub", "--copy-days", "many")
    assert shown.returncode == ExitCode.CONFIGURATION
    assert "'copy_days' (flag --copy-days): 'many' will not do" in shown.stderr


def test_a_password_inside_an_address_is_not_shown() -> None:
    flags = {"hub_url": "https://ann:swordfish@hub.example/base"}
    loaded = load(SiteSettings, name=SETTINGS_NAME, file=None, environ={}, flags=flags)
    text = "\n".join(report_lines(report(SiteSettings, loaded, name=SETTINGS_NAME)))
    assert "https://(not shown)@hub.example/base" in text
    assert "swordfish" not in text


def test_text_has_one_line_for_each_setting() -> None:
    loaded = load(HubSettings, name=HUB_NAME, file=None, environ={}, flags={})
    lines = report_lines(report(HubSettings, loaded, name=HUB_NAME))
    assert len(lines) == len(describe(HubSettings, name=HUB_NAME))
    assert lines[0].split() == ["host", "127.0.0.1", "default"]


def test_bash_takes_the_completion_and_completes_with_it() -> None:
    made = pairhub("completion", "bash")
    assert made.returncode == ExitCode.OK
    ask = (
        "COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{words}'; COMP_POINT=${{#COMP_LINE}};"
        ' COMPREPLY=(); _pairhub pairhub "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"; echo "${{COMPREPLY[@]}}"\n'
    )
    script = made.stdout + ask.format(words="pairhub site serve --ret") + ask.format(words="pairhub conf")
    parsed = subprocess.run(["bash", "-n"], input=made.stdout, capture_output=True, text=True, timeout=30, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")
    said = subprocess.run(["bash"], input=script, capture_output=True, text=True, timeout=30, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.split() == ["--retention-days", "config"]
