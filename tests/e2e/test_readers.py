"""Three readers with one page each do what they came for, and open no other."""

from __future__ import annotations

import csv
from pathlib import Path

from .pages import follow


def sheet(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines, delimiter=";"))


def test_the_analyst_gets_a_page_and_the_flagged_customers(tmp_path: Path) -> None:
    follow("audit", tmp_path)
    sheets = {name: sheet(tmp_path / f"{name}.csv") for name in ("flagged", "unknown", "rejected")}
    flagged = {row["in_customer_id"]: row for row in sheets["flagged"]}
    assert sorted(flagged) == ["C-01", "C-02", "C-04"]
    assert [row["in_customer_id"] for row in sheets["unknown"]] == ["C-06", "C-07"]
    assert [row["customer_id"] for row in sheets["rejected"]] == ["C-08", "C-10", "C-11", "C-12"]
    lines = (tmp_path / "customers.csv").read_text("utf-8").splitlines()
    for row in [*flagged.values(), *sheets["unknown"], *sheets["rejected"]]:
        name = row.get("name") or row["in_name"]
        assert name in lines[int(row["excel_line"]) - 1]
    assert flagged["C-02"]["risk_sim_recent"] == "True"
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert not [name for name in ("Ann Bell", "7946 0022", "79460022") if name in page]
    private = ("flagged.csv", "unknown.csv", "rejected.csv", "api.key", "audit")
    assert [name for name in private if (tmp_path / name).stat().st_mode & 0o077] == []
