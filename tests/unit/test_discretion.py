"""The search itself: what it must find, and what it must not mistake for a secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from tests.discretion import leaks, secrets_in

KEY = "t0p/s3cret+key=of%ours"
NUMBER = "+442079460123"
DATA = f'{{"phone":"{NUMBER}"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"apiKey: {KEY}",
        KEY[:12] + "…",
        KEY[5:],
        KEY[:8] + "\n  " + KEY[8:],
        quote(KEY, safe=""),
        "".join(f"%{b:02x}" for b in KEY.encode()),
        "".join(f"\\u{b:04x}" for b in KEY.encode()),
        json.dumps({"key": KEY}),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{KEY}".encode()).decode(),
        KEY.encode().hex(),
        KEY.encode("utf-16"),
    ],
)
def test_the_key_is_found(text: str | bytes) -> None:
    assert secrets_in(text, KEY, [NUMBER]) == {"the key"}


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        "020 7946 0123",
        "(020) 7946-0123",
        "%2B44207946%30123",
        r"\u002b44\u00a0207946\u00a00123",
        "+４４２０７９４６０１２３",
        "٠٢٠٧٩٤٦٠١٢٣",
        '"020";"79460123"',
        "0207\n9460123",
        NUMBER.encode("utf-16"),
    ],
)
def test_a_number_is_found(text: str | bytes) -> None:
    assert secrets_in(text, KEY, [NUMBER]) == {"a whole number"}


@pytest.mark.parametrize(
    "text",
    ["+4420••••••23", "20261123-0123456789", "20261123-c442079460-12300.parquet", "[key]", KEY[:5]],
)
def test_what_is_masked_is_no_leak(text: str) -> None:
    assert secrets_in(text, KEY, [NUMBER]) == set()


def test_a_folder_is_searched(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir(mode=0o700)
    for place in ("results/a.parquet", "runs/1/summary.json", "runs/1/odd.parquet"):
        path = folder / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pl.DataFrame({"e164": [NUMBER] * 3}).write_parquet(path)
        else:
            path.write_text(DATA)
        path.chmod(0o600)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert set(leaks(folder, [], KEY, [NUMBER])) == {
        "runs/1/summary.json: a whole number",
        "runs/1/odd.parquet: a whole number",
    }
    (folder / "runs/1/summary.json").chmod(0o644)
    (folder / "runs/1/odd.parquet").unlink()
    assert set(leaks(folder, ["fine", KEY], KEY, ["+493023125001"])) == {
        "runs/1/summary.json: its mode is 644",
        "printed: the key",
    }
