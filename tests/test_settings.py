"""Settings: which source wins, and how a wrong one is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from hub.settings import SETTINGS_NAME, HubSettings
from shared.settings import Loaded, SettingWrong, describe, load, setting


@dataclass(frozen=True)
class Sample:
    """Settings of every type."""

    port: int = setting(1, "A port", least=0, most=10)
    rate: float = setting(0.5, "A rate", unit="bytes/s", least=0)
    on: bool = setting(False, "A switch")
    name: str = setting("", "A name")
    level: Literal["low", "high"] = setting("low", "A level")
    folder: Path | None = setting(None, "A folder")  # noqa: RUF009  # makes a field


def loaded(file: Path | None = None, environ: dict[str, str] | None = None, **flags: object) -> Loaded[Sample]:
    return load(Sample, name="part", file=file, environ=environ or {}, flags=flags)


def test_without_any_source_the_defaults_stand() -> None:
    found = loaded()
    assert found.settings == Sample()
    assert set(found.sources.values()) == {"default"}


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pairhub.toml"
    file.write_text('[part]\nport = 2\nrate = 2\nname = "file"\non = true\n[other]\nanything = 1\n')
    found = loaded(
        file, {"PAIRHUB_PART_PORT": "3", "PAIRHUB_PART_RATE": "3.5", "PAIRHUB_OTHER_X": "1"}, port=4, level=None
    )
    assert found.settings == Sample(port=4, rate=3.5, on=True, name="file")
    assert found.sources == {
        "port": "flag --port",
        "rate": "environment variable PAIRHUB_PART_RATE",
        "on": f"[part] in {file}",
        "name": f"[part] in {file}",
        "level": "default",
        "folder": "default",
    }


def test_text_becomes_the_type_of_the_setting() -> None:
    environ = {"PAIRHUB_PART_ON": "Yes", "PAIRHUB_PART_FOLDER": "/somewhere", "PAIRHUB_PART_LEVEL": "high"}
    assert loaded(None, environ).settings == Sample(on=True, folder=Path("/somewhere"), level="high")
    assert loaded(None, {"PAIRHUB_PART_FOLDER": ""}).settings.folder is None


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("PORT", "eleven", "whole number from 0 to 10"),
        ("PORT", "11", "whole number from 0 to 10"),
        ("RATE", "-1", "at least 0 bytes/s"),
        ("RATE", "nan", "at least 0 bytes/s"),
        ("ON", "perhaps", "true or false"),
        ("LEVEL", "middle", "low | high"),
    ],
)
def test_a_wrong_value_names_the_setting_its_source_and_what_is_allowed(variable: str, text: str, allowed: str) -> None:
    with pytest.raises(SettingWrong) as caught:
        loaded(None, {"PAIRHUB_PART_" + variable: text})
    told = str(caught.value)
    assert f"'{variable.lower()}'" in told
    assert f"PAIRHUB_PART_{variable}" in told
    assert allowed in told


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(SettingWrong, match="there is no such setting; there are folder, level"):
        loaded(None, {"PAIRHUB_PART_PROT": "1"})


@pytest.mark.parametrize(
    "text", ["port = [", "part = 1", "[part]\nport = 1.5", "[part]\nname = 3", "[part]\nport = true"]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pairhub.toml"
    file.write_text(text)
    with pytest.raises(SettingWrong, match=r"pairhub\.toml"):
        loaded(file)
    with pytest.raises(SettingWrong, match="cannot be read"):
        loaded(tmp_path / "missing.toml")


def test_every_setting_of_the_hub_describes_itself() -> None:
    rows = {row.name: row for row in describe(HubSettings, name=SETTINGS_NAME)}
    assert rows["copy_bytes_max"].unit == "bytes"
    assert rows["port"].variable == "PAIRHUB_HUB_PORT"
    assert all(row.help for row in rows.values())


def test_the_hubs_key_lies_beside_its_data_directory() -> None:
    assert HubSettings(data_dir=Path("/var/lib/hub")).key_path == Path("/var/lib/hub.key")
    assert HubSettings(key_file=Path("/etc/hub.key")).key_path == Path("/etc/hub.key")
