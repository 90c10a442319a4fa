"""Runs that come to their end, and all that they leave."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.golden.lists import BERLIN, CUSTOMERS, LONDON, MAGIC, column
from tests.golden.stage import ROOT, Stage

LISTED = ("customers.csv", "--region-column", "country")
ALL = ("--endpoints", "all")


def everything(stage: Stage) -> None:
    """All endpoints, ways of writing a number and files; what the other commands say of it."""
    stage.write("customers.csv", CUSTOMERS)
    run = (*LISTED, *ALL, "--sandbox", "--run-date", "2026-03-02", "--keep-columns", "all")
    checks = ("--fail-if", "reject_rate > 10%", "--fail-if", "rows_change < -20%")
    stage.play("check", *LISTED)
    stage.play("check", *LISTED, "--json", "--rejects", "rejects.csv")
    stage.keep("rejects.csv", (stage.folder / "rejects.csv").read_text("utf-8"))
    stage.play("check", *LISTED, "--rejects", "rejects.parquet")
    stage.keep_table("rejects.txt", stage.folder / "rejects.parquet")
    planned = (*run, "--config", stage.settings, "--out", "out")
    stage.play("plan", *planned)
    stage.play("plan", *planned, "--json")
    stage.run(*run, *checks, "--log-format", "text")
    stage.run(*run, *checks, "--log-format", "json")
    stage.run(*run, *checks, "--json")
    stage.keep_runs()
    stage.play("plan", *planned)
    stage.play("validate", "out")
    stage.play("validate", "out", "--json")
    stage.play("report", "out", "--json")
    stage.play("status", "--out", "out")
    stage.keep("run_ids.txt", "\n".join(stage.steady.told_run_ids()))


def sample(stage: Stage) -> None:
    """The sample list, as CSV and as Parquet: ``make demo``, only faster."""
    for name in ("customers.csv", "customers.parquet"):
        shutil.copy(ROOT / "sample_data" / name, stage.folder / name)
    fast = {"BATCH_SCREEN_PACING__RATE_PER_SECOND": "4000"}
    run = ("--region-column", "country", "--sandbox", "--run-date", "2026-03-02")
    stage.play("check", "customers.csv")
    stage.run("customers.csv", *run, *ALL, "--keep-columns", "customer_id", environment=fast)
    stage.keep_runs()
    stage.play("validate", "out")
    columns = ("--keep-columns", "all", "--phone-column", "phone")
    to = ("--out", "from_parquet", "--json")
    stage.run("customers.parquet", *run, *columns, *to, environment=fast)
    stage.keep_runs("from_parquet")


def dialect(stage: Stage) -> None:
    """The later paths, and a window of the caller's own."""
    stage.write("list.csv", column(*LONDON[:12], MAGIC + "05", MAGIC + "06"))
    with stage.sandbox("--dialect", "2026-04", "--seed", "7") as url:
        asked = ("--base-url", url, "--dialect", "2026-04", "--max-age-minutes", "240")
        stage.run("list.csv", *ALL, *asked, "--run-date", "2026-03-02")
        stage.keep_runs()
        stage.play("validate", "out")


def told(stage: Stage) -> None:
    """What a scheduler, a collector of metrics and a webhook are told, at each end of a start."""
    stage.write("list.csv", column(*LONDON[:15], *BERLIN[:5], "n/a"))
    files = ("--summary-file", "last.json", "--metrics-file", "last.prom")
    with _listening() as (port, calls):
        stage.steady.places[f"127.0.0.1:{port}"] = "127.0.0.1:<port>"
        pings = {
            f"BATCH_SCREEN_PINGS__{name.upper()}_URL": f"http://127.0.0.1:{port}/{name}"
            for name in ("start", "finish", "failure", "webhook")
        }
        starts = {
            "good": ("--fail-if", "failure_rate > 50%"),
            "crossed": (
                "--fail-if",
                "rows > 20",
                "--fail-if",
                "positive_rate:sim-swap/check < 90%",
            ),
            "stopped": ("--run-date", "2026-03-04", "--max-requests", "7"),
            "too-late": ("--run-date", "2026-03-05", "--phone-column", "nothere"),
        }
        for name, options in starts.items():
            dated = () if "--run-date" in options else ("--run-date", "2026-03-03")
            stage.run("list.csv", "--sandbox", *dated, *options, *files, environment=pings)
            stage.keep(f"{name}/last.json", (stage.folder / "last.json").read_text("utf-8"))
            stage.keep(
                f"{name}/last.prom", _metrics((stage.folder / "last.prom").read_text("utf-8"))
            )
            stage.keep(f"{name}/calls.txt", "\n".join(calls))
            calls.clear()


def _metrics(text: str) -> str:
    """Without when and how long; a time that is 0 means never, and stays."""
    passing = ("_seconds ", "_seconds{")
    return "".join(
        f"{line.rpartition(' ')[0]} <n>\n"
        if not line.startswith("#")
        and any(p in line for p in passing)
        and not line.endswith(" 0.0")
        else f"{line}\n"
        for line in text.splitlines()
    )


@contextmanager
def _listening() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine, and what it is called with."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            calls.append(
                f"{self.command} {self.path} {self.headers.get('Content-Type')}\n{_pretty(body)}"
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815 (as the library calls them)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1], calls
        finally:
            server.shutdown()
            thread.join()


def _pretty(body: str) -> str:
    """A document in lines, where it is one."""
    return json.dumps(json.loads(body), indent=2) if body.startswith("{") else body
