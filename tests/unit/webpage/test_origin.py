from __future__ import annotations

from batch_screen.output.manifest import ListedFile
from batch_screen.webpage.origin import files_table, settings_table, versions_table

from .materials import RUN, files, summary

NUMBER = "+447700900123"


def values(settings: dict[str, object]) -> dict[str, str]:
    return {str(name): str(value) for name, value in settings_table(settings).rows}


def test_settings_are_masked() -> None:
    shown = values(
        {
            "numbers.test_numbers": [NUMBER],
            "api.base_url": "https://user:pass@api.example:8443/v1?q=a@b",
            "input.region_column": "",
            "input.has_header": True,
        }
    )
    assert shown == {
        "api.base_url": "https://api.example:8443/v1?q=a@b",
        "input.has_header": "true",
        "input.region_column": "–",
        "numbers.test_numbers": '["+4477••••••23"]',
    }


def test_no_setting_is_a_key() -> None:
    assert not [name for name in values(dict(summary().settings)) if "key" in name.lower()]


def test_settings_have_an_end() -> None:
    shown = settings_table({f"s.{n:03}": "x" * 9_000 for n in range(200)})
    assert len(shown.rows) == 120
    assert max(len(str(value)) for _, value in shown.rows) == 240
    assert shown.note == "80 others in summary.json."


def test_files_have_their_digest_and_reports_come_first() -> None:
    rows = files_table(files()).rows
    assert rows[0] == (f"runs/{RUN}/summary.json", "–", "4.9 KiB", "b2" * 32)
    assert rows[1][1:] == ("110", "120.6 KiB", "a1" * 32)


def test_parts_that_are_too_many_are_summed_up() -> None:
    parts = [ListedFile(f"results/{n}", 1_000, "0" * 64, "results", 10) for n in range(100)]
    table = files_table(parts)
    assert len(table.rows) == 12
    assert table.note.startswith("88 further parts with 880 rows and 85.9 KiB; manifest.json")


def test_versions() -> None:
    shown = dict(versions_table(summary(facts={"phone_column": NUMBER})).rows)  # type: ignore[arg-type]
    assert shown["run"] == RUN
    assert shown["phone column"] == "+4477••••••23"
    assert shown["risk_version"] == "1"
    assert "risk_version" not in dict(versions_table(summary(risk={})).rows)  # type: ignore[arg-type]
