"""Prometheus metrics of the last start, for node_exporter's textfile collector.

Labels are names from closed lists: endpoints, outcomes, stages, fates. The library writes the
format; the file is ours, because its own is left with the umask's mode and not on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from batch_screen.config.parsing import read_small
from batch_screen.notify.closing import Closing
from batch_screen.storage.atomic import PUBLIC_MODE, write_atomically
from batch_screen.tables.summary import COMPLETE, LookupFigures, Summary

_PREFIX = "batch_screen"
_SUCCESS = f"{_PREFIX}_last_success_timestamp_seconds"
_COMPLETE = f"{_PREFIX}_last_complete_timestamp_seconds"
_LARGEST_BYTES = 1 << 20  # ours has a few KiB: what is larger is somebody else's


def write_metrics(path: Path, closing: Closing) -> None:
    """Replaces the file and keeps the times of earlier successes. Raises ``OutputError``."""
    write_atomically(path, metrics(closing, _kept(path)), mode=PUBLIC_MODE)


def metrics(closing: Closing, kept: Mapping[str, float]) -> bytes:
    """The figures as text. ``kept`` are the times of earlier successes; 0 where there are none."""
    registry = CollectorRegistry()
    ended = round(closing.ended_at.timestamp(), 3)
    is_complete = closing.status == COMPLETE
    gauge = _Gauges(registry)
    gauge.one("last_run_timestamp_seconds", "When the last start ended.", ended)
    gauge.one(
        "last_success_timestamp_seconds",
        "When a start last ended with exit code 0; 0: never.",
        ended if closing.exit_code == 0 else kept.get(_SUCCESS, 0.0),
    )
    gauge.one(
        "last_complete_timestamp_seconds",
        "When a run was last complete, whatever its thresholds say; 0: never.",
        ended if is_complete else kept.get(_COMPLETE, 0.0),
    )
    gauge.one("exit_code", "The last start's exit code.", closing.exit_code)
    gauge.by("stage_seconds", "Seconds of the last start's stages.", "stage", closing.stage_seconds)
    if closing.summary:
        _add_summary(gauge, closing.summary)
    return generate_latest(registry)


class _Gauges:
    """Makes gauges in a registry: each start sets them anew, so nothing is a counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def one(self, name: str, meaning: str, value: float) -> None:
        self._gauge(name, meaning).set(value)

    def by(self, name: str, meaning: str, label: str, values: Mapping[str, float]) -> None:
        gauge = self._gauge(name, meaning, label)
        for each, value in values.items():
            gauge.labels(each).set(value)

    def lookups(self, name: str, meaning: str, endpoints: Mapping[str, LookupFigures]) -> None:
        gauge = self._gauge(name, meaning, "endpoint", "outcome")
        for endpoint, figures in endpoints.items():
            for outcome, count in figures.by_outcome.items():
                gauge.labels(endpoint, outcome).set(count)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Any:
        return Gauge(f"{_PREFIX}_{name}", meaning, labels, registry=self._registry)


def _add_summary(gauge: _Gauges, summary: Summary) -> None:
    endpoints = summary.endpoints
    rows = summary.rows
    # Every row once: asked about, about a number that was asked about already, or rejected.
    fates = {
        "first": rows.unique_numbers,
        "duplicate": rows.duplicates,
        "rejected": rows.rejected,
    }
    gauge.by("rows", "Rows of the input by what became of them.", "fate", fates)
    gauge.one("numbers", "Unique numbers.", rows.unique_numbers)
    gauge.lookups("lookups", "Lookups that have an outcome.", endpoints)
    for name, meaning, field in (
        ("lookups_left", "Lookups without an outcome.", "left"),
        ("positives", "Lookups that found something: swapped, active, a date.", "positives"),
        ("requests", "Requests made for lookups that have an outcome.", "attempts"),
        ("refusals", "Requests among them refused for the rate.", "refusals"),
        ("unanswered_requests", "Requests a crash left without an answer.", "unanswered"),
    ):
        counts = {endpoint: getattr(each, field) for endpoint, each in endpoints.items()}
        gauge.by(name, meaning, "endpoint", counts)
    gauge.one("cost", "What the run has cost at most, in the currency of the prices.", summary.cost)
    crossed = sum(each.crossed for each in summary.thresholds)
    gauge.one("thresholds_crossed", "Thresholds of guards.fail_if that are crossed.", crossed)


def _kept(path: Path) -> dict[str, float]:
    """The times of earlier successes; none if the file is unreadable or not ours."""
    try:
        text = read_small(path, _LARGEST_BYTES).decode("utf-8")
        families = [*text_string_to_metric_families(text)]
    except (OSError, ValueError):
        return {}
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.name in (_SUCCESS, _COMPLETE)
    }
