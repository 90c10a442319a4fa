"""Lists as people send them: formats, encodings, rejects, restrictions."""

from __future__ import annotations

import gzip
import shutil
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from tests.golden.lists import BERLIN, CUSTOMERS, LONDON, MAGIC, NEW_YORK, column, csv
from tests.golden.stage import Stage

_OPTIONS = {
    "no_header.csv": ("--no-header",),
    "utf16.csv": ("--region-column", "land"),
}


def inputs(stage: Stage) -> None:
    """Each list as ``check`` reads it, and one run over a folder of them."""
    rows = [f"{number};Zoë {n}" for n, number in enumerate(LONDON[:5])]
    tabbed = "Telefon\tland\n030 23125 001\tDE\n030 23125 002\tDE\n"
    folder = {
        "semicolons.csv": csv("phone;name", *rows).encode("cp1252"),
        "utf16.csv": tabbed.encode("utf-16"),
        "packed.csv.gz": gzip.compress(column(*LONDON[10:16]).encode(), mtime=0),
        "packed.csv.zst": pa.compress(column(*BERLIN[10:16]).encode(), "zstd", asbytes=True),
        "no_header.csv": "\n".join(LONDON[20:24]).encode(),
        "pipes.txt": csv("name|phone", *(f"a|{n}" for n in NEW_YORK[:4])).encode(),
        "spoiled.csv": csv("phone", *(f"{n[1:]}.0" for n in BERLIN[30:36])).encode(),
        "ragged.csv": csv("phone,a", *LONDON[30:33], f"{LONDON[33]},1,2,3").encode(),
    }
    for name, content in folder.items():
        stage.write(name, content)
        stage.play("check", name, "--json", *_OPTIONS.get(name, ()))
    stage.play("check", "-", stdin=column(*LONDON[:3]).encode())
    _write_parquet(stage)
    for name in ("text", "whole", "decimal"):
        stage.play("check", f"lists/{name}.parquet", "--default-region", "DE", "--json")
    stage.play("check", "lists")
    stage.play("plan", "lists/w*.parquet", "packed.csv.gz", "--default-region", "DE")
    kept = ("--phone-column", "phone", "--keep-columns", "all", "--default-region", "DE")
    (stage.folder / "lists" / "decimal.parquet").unlink()
    (stage.folder / "lists" / "text.parquet").rename(stage.folder / "text.parquet")
    shutil.copy(stage.folder / "lists" / "whole.parquet", stage.folder / "lists" / "again.parquet")
    stage.run("lists", *kept, "--sandbox", "--run-date", "2026-03-02")
    stage.keep_runs()
    stage.run("-", "--sandbox", "--run-date", "2026-03-03", stdin=column(*LONDON[:3]).encode())


def _write_parquet(stage: Stage) -> None:
    (stage.folder / "lists").mkdir()
    columns = {
        "text": pa.array([*LONDON[40:44], None]),
        "whole": pa.array([int(n[1:]) for n in BERLIN[40:44]] + [None], pa.int64()),
        "decimal": pa.array([float(n[1:]) for n in BERLIN[50:54]] + [None]),
    }
    for name, phones in columns.items():
        others = {
            "since": pa.array([date(2020, 1, day) for day in range(1, 6)]),
            "is_new": pa.array([True, False, None, True, False]),
            "amount": pa.array([1.5, None, 3.25, 0.0, -1.0]),
        }
        table = pa.table({"phone": phones, **others})
        pq.write_table(table, stage.folder / "lists" / f"{name}.parquet")


def rejects(stage: Stage) -> None:
    """Which numbers are asked about, by each rule that can be set."""
    stage.write("customers.csv", CUSTOMERS)
    stage.write(
        "opted_out.csv", csv("who,phone", "a,0044 20 7946 0022", f"b,{MAGIC}07", "c,030 23125 158")
    )
    listed = ("customers.csv", "--region-column", "country")
    stage.run(
        *listed,
        *("--opt-out", "opted_out.csv", "--deny-regions", "AU,FR", "--default-region", "DE"),
        *("--sandbox", "--run-date", "2026-03-02", "--log-format", "text"),
    )
    stage.keep_runs()
    stage.play("status", "--out", "out")
    for options in (
        ("--strictness", "mobile"),
        ("--strictness", "possible"),
        ("--allow-regions", "DE,001"),
        ("--phone-column", "customer_id"),
    ):
        stage.play("check", *listed, *options, "--json")
    more = stage.configure(
        '[numbers]\nambiguous = "international"\ndouble_zero_is_plus = true\n'
        f'vanity_letters = true\ntest_numbers = ["{BERLIN[99][:-2]}", "+999123456789"]\n'
    )
    stage.play("check", *listed, "--config", more, "--json")
    stage.play("plan", *listed, "--config", more, "--json")
