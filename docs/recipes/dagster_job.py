"""A job and its schedule for Dagster 1.9 or newer: screens, and retries by exit code.

The key's file is named in batch-screen.toml. For budget.* or schedule.stop_at take the 4 out of
MAY_PASS: such a run is meant to be resumed tomorrow, not ten minutes later.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from dagster import (
    Definitions,
    Failure,
    OpExecutionContext,
    RetryRequested,
    RunRequest,
    ScheduleEvaluationContext,
    job,
    op,
    schedule,
)

COMMAND = ["batch-screen", "run", "/srv/customers.parquet", "--out", "/srv/screened"]
SETTINGS = ["--config", "/etc/batch-screen/batch-screen.toml"]
SUMMARY = Path("/srv/screened-last.json")

COMPLETE = {0, 3}  # 3: with a threshold crossed, or too many lookups failed
MAY_PASS = {4, 69, 71, 73, 75, 130, 143}  # the same command resumes; all others need somebody
SECONDS_TO_SAVE = 90  # for answers under way and the summary
DAY = "batch_screen/day"


@op
def screen(context: OpExecutionContext) -> str:
    """Screens, and returns the run's id."""
    # The night's own date, so that a retry after midnight resumes the same run.
    day = context.run.tags.get(DAY) or datetime.now(UTC).strftime("%Y-%m-%d")
    options = ["--summary-file", str(SUMMARY), "--run-date", day]
    with subprocess.Popen([*COMMAND, *SETTINGS, *options]) as process:
        try:
            code = process.wait()
        except BaseException:  # the run is ended: what was answered is saved
            process.terminate()
            process.wait(SECONDS_TO_SAVE)
            raise
    if code in MAY_PASS:
        raise RetryRequested(max_retries=4, seconds_to_wait=600)
    if code not in COMPLETE:
        raise Failure(f"batch-screen ended with {code}: see its last line", allow_retries=False)
    summary = json.loads(SUMMARY.read_text("utf-8"))
    for each in summary["thresholds"]:
        if each["crossed"]:
            context.log.warning("threshold crossed: %s, %s seen", each["expr"], each["seen"])
    return str(summary["run_id"])


@job
def batch_screen() -> None:
    """Tonight's customers against the fraud signals."""
    screen()


@schedule(job=batch_screen, cron_schedule="15 2 * * *", execution_timezone="UTC")
def every_night(context: ScheduleEvaluationContext) -> RunRequest:
    """One run a night, which knows the night's date."""
    day = context.scheduled_execution_time.strftime("%Y-%m-%d")
    return RunRequest(run_key=day, tags={DAY: day})


definitions = Definitions(jobs=[batch_screen], schedules=[every_night])
