"""Ten thousand numbers in three spellings, and not one of them in any byte of the output."""

from __future__ import annotations

import csv
from pathlib import Path

import phonenumbers

from batch_screen.privacy.ids import make_id_key
from tests.decoded import numbers_in
from tests.e2e.conftest import run_command

from .conftest import Size, sized_in_full

AREAS = [
    area
    for area in range(201, 990)
    if phonenumbers.is_valid_number(phonenumbers.parse(f"+1{area}5550100"))
]
"""In each of them 555-0100 to 555-0199 are kept free for films."""
OPTIONS = (
    *("--phone-column", "phone", "--default-region", "US", "--keep-columns", "id", "--in-order"),
    *("--endpoints", "sim-swap/check", "--rate", "3000", "--ids", "hmac"),
)


def spellings(area: int, line: int) -> tuple[str, str, str]:
    """A number as E.164, as it is dialled at home, and as some list writes it."""
    return f"+1{area}55501{line:02}", f"{area}55501{line:02}", f"001 ({area}) 555.01{line:02}"


@sized_in_full
def test_no_number_is_in_any_byte(size: Size, tmp_path: Path) -> None:
    areas = AREAS[:100] if size.is_full else AREAS[:3]
    numbers = [spellings(area, line) for area in areas for line in range(100)]
    listed, out, key = tmp_path / "list.csv", tmp_path / "out", tmp_path / "ids.key"
    make_id_key(key)
    with listed.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "phone"])
        rows.writerows([f"c{n}", forms[n % 3]] for n, forms in enumerate(numbers))
        rows.writerow(["none", "555"])
    said = []
    for day in ("2026-03-02", "2026-03-03"):
        how = ("--id-key-file", key, "--metrics-file", out.with_suffix(".prom"), "--run-date", day)
        done = run_command("run", listed, "--out", out, "--sandbox", *OPTIONS, *how)
        assert done.code == 0, done.err
        said += [done.out, done.err, out.with_suffix(".prom").read_text("utf-8")]
    done = run_command("validate", out, "--all")
    assert done.code == 0, done.out
    assert numbers_in(out, {form for forms in numbers for form in forms}, said) == []
    assert numbers_in(tmp_path, {numbers[0][0]}) == ["list.csv"]
