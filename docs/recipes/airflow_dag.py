"""A DAG for Airflow 3: screens every night, and retries by exit code.

The key's file is named in batch-screen.toml. For budget.* or schedule.stop_at take the 4 out of
MAY_PASS: such a run is meant to be resumed tomorrow, not ten minutes later.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

COMMAND = ["batch-screen", "run", "/srv/customers.parquet", "--out", "/srv/screened"]
SETTINGS = ["--config", "/etc/batch-screen/batch-screen.toml"]
SUMMARY = Path("/srv/screened-last.json")

COMPLETE = {0, 3}  # 3: with a threshold crossed, or too many lookups failed
MAY_PASS = {4, 69, 71, 73, 75, 130, 143}  # the same command resumes; all others need somebody
SECONDS_TO_SAVE = 90  # for answers under way and the summary


@task(retries=4, retry_delay=timedelta(minutes=10))
def screen(data_interval_end: datetime | None = None) -> dict[str, object]:
    """Screens; what comes back is where the run lies and which thresholds it has crossed."""
    # The night's own date, so that a retry after midnight resumes the same run.
    day = (data_interval_end or datetime.now(UTC)).strftime("%Y-%m-%d")
    options = ["--summary-file", str(SUMMARY), "--run-date", day]
    with subprocess.Popen([*COMMAND, *SETTINGS, *options]) as process:
        try:
            code = process.wait()
        except BaseException:  # the task is killed: the run saves what it has
            process.terminate()
            process.wait(SECONDS_TO_SAVE)
            raise
    if code in MAY_PASS:
        raise AirflowException(f"batch-screen ended with {code}: the next try resumes it")
    if code not in COMPLETE:
        raise AirflowFailException(f"batch-screen ended with {code}: see its last line")
    summary = json.loads(SUMMARY.read_text("utf-8"))
    crossed = [each["expr"] for each in summary["thresholds"] if each["crossed"]]
    return {"run_id": summary["run_id"], "exit_code": code, "crossed": crossed}


@dag(schedule="15 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)
def batch_screen() -> None:
    """Tonight's customers against the fraud signals."""
    screen()


batch_screen()
