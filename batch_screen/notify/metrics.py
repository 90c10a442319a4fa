"""Prometheus metrics of the last session, for node_exporter's textfile collector.

Labels are names from closed lists: endpoints, outcomes, stages, fates. The library writes the
format; the file is ours, because its own is left with the umask's mode and not on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from batch_screen.notify.closing import Closing
from batch_screen.storage.atomic import PUBLIC_MODE, write_atomically
from batch_screen.storage.reading import read_small
from batch_screen.tables.summary import COMPLETE, Summary

_PREFIX = "batch_screen"
_SUCCESS = f"{_PREFIX}_last_success_timestamp_seconds"
_COMPLETE = f"{_PREFIX}_last_complete_timestamp_seconds"
_LARGEST_BYTES = 1 << 20  # ours has a few KiB: what is larger is somebody else's


def write_metrics(path: Path, closing: Closing) -> None:
    """Writes the metrics file; the times of earlier successes stay. Raises ``OutputError``."""
    write_atomically(path, metrics(closing, _kept(path)), mode=PUBLIC_MODE)


def metrics(closing: Closing, kept: Mapping[str, float]) -> bytes:
    """The metrics as text. ``kept`` are the times of earlier successes; 0: none."""
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        # Each start sets them anew, so nothing is a counter.
        return Gauge(name, meaning, labels, namespace=_PREFIX, registry=registry)

    ended = round(closing.ended_at.timestamp(), 3)
    gauge("last_run_timestamp_seconds", "When the last start ended.").set(ended)
    succeeded = "When a start last ended with exit code 0; 0: never."
    gauge("last_success_timestamp_seconds", succeeded).set(
        ended if closing.exit_code == 0 else kept.get(_SUCCESS, 0.0)
    )
    completed = "When a run was last complete, whatever its thresholds say; 0: never."
    gauge("last_complete_timestamp_seconds", completed).set(
        ended if closing.status == COMPLETE else kept.get(_COMPLETE, 0.0)
    )
    gauge("exit_code", "The last start's exit code.").set(closing.exit_code)
    stages = gauge("stage_seconds", "Seconds of the last start's stages.", "stage")
    for stage, seconds in closing.stage_seconds.items():
        stages.labels(stage).set(seconds)
    if closing.summary:
        _add_summary(gauge, closing.summary)
    return generate_latest(registry)


def _add_summary(gauge: Callable[..., Gauge], summary: Summary) -> None:
    # Every row once: asked about, about a number that was asked about already, or rejected.
    rows = gauge("rows", "Rows of the input by what became of them.", "fate")
    rows.labels("first").set(summary.rows.unique_numbers)
    rows.labels("duplicate").set(summary.rows.duplicates)
    rows.labels("rejected").set(summary.rows.rejected)
    gauge("numbers", "Unique numbers.").set(summary.rows.unique_numbers)
    lookups = gauge("lookups", "Lookups that have an outcome.", "endpoint", "outcome")
    for endpoint, figures in summary.endpoints.items():
        for outcome, count in figures.by_outcome.items():
            lookups.labels(endpoint, outcome).set(count)
    for name, meaning, field in (
        ("lookups_left", "Lookups without an outcome.", "left"),
        ("positives", "Lookups that found something: swapped, active, a date.", "positives"),
        ("requests", "Requests made for lookups that have an outcome.", "attempts"),
        ("refusals", "Requests among them refused for the rate.", "refusals"),
        ("unanswered_requests", "Requests a crash left without an answer.", "unanswered"),
    ):
        by_endpoint = gauge(name, meaning, "endpoint")
        for endpoint, figures in summary.endpoints.items():
            by_endpoint.labels(endpoint).set(getattr(figures, field))
    cost = "What the run has cost at most, in the currency of the prices."
    gauge("cost", cost).set(summary.cost)
    crossed = sum(each.crossed for each in summary.thresholds)
    gauge("thresholds_crossed", "Thresholds of guards.fail_if that are crossed.").set(crossed)


def _kept(path: Path) -> dict[str, float]:
    """The times of earlier successes; none if the file is unreadable or foreign."""
    try:
        text = read_small(path, _LARGEST_BYTES).decode("utf-8")
        families = [*text_string_to_metric_families(text)]
    except (OSError, ValueError, LookupError, ArithmeticError):  # the parser raises all of them
        return {}
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.name in (_SUCCESS, _COMPLETE)
    }
