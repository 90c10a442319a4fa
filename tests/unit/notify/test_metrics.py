from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from batch_screen.errors import OutputError
from batch_screen.notify.closing import Closing
from batch_screen.notify.metrics import metrics, write_metrics
from batch_screen.tables.summary import Judgement

from .ends import BEGAN, NUMBER, complete, failed

SUCCESS = "batch_screen_last_success_timestamp_seconds"
COMPLETE = "batch_screen_last_complete_timestamp_seconds"
ENDED = BEGAN.timestamp() + 92


def read(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_figures_of_a_complete_run() -> None:
    text = metrics(complete(), {}).decode()
    assert read(text) == {
        ("batch_screen_last_run_timestamp_seconds",): ENDED,
        (SUCCESS,): ENDED,
        (COMPLETE,): ENDED,
        ("batch_screen_exit_code",): 0,
        ("batch_screen_stage_seconds", "reading"): 1.25,
        ("batch_screen_stage_seconds", "asking"): 80,
        ("batch_screen_stage_seconds", "writing"): 0.5,
        ("batch_screen_rows", "first"): 1_200,
        ("batch_screen_rows", "duplicate"): 200,
        ("batch_screen_rows", "rejected"): 100,
        ("batch_screen_numbers",): 1_200,
        ("batch_screen_lookups", "sim-swap/check", "success"): 1_190,
        ("batch_screen_lookups", "sim-swap/check", "timeout"): 10,
        ("batch_screen_lookups_left", "sim-swap/check"): 0,
        ("batch_screen_positives", "sim-swap/check"): 30,
        ("batch_screen_requests", "sim-swap/check"): 1_230,
        ("batch_screen_refusals", "sim-swap/check"): 5,
        ("batch_screen_unanswered_requests", "sim-swap/check"): 0,
        ("batch_screen_cost",): 12.25,
        ("batch_screen_thresholds_crossed",): 0,
    }
    assert NUMBER[1:] not in text
    assert set(re.findall(r'(\w+)="', text)) == {"stage", "fate", "endpoint", "outcome"}
    assert text.count("# HELP ") == text.count("# TYPE ") == text.count(" gauge\n")


@pytest.mark.parametrize(
    ("closing", "success", "completed"),
    [
        (complete(), ENDED, ENDED),
        (complete(exit_code=3), 5.0, ENDED),
        (failed(), 5.0, 7.0),
    ],
)
def test_what_an_earlier_start_succeeded_at_is_kept(
    tmp_path: Path, closing: Closing, success: float, completed: float
) -> None:
    path = tmp_path / "batch_screen.prom"
    path.write_text(f"{SUCCESS} 5\n{COMPLETE} 7\nother_metric 9\n")
    write_metrics(path, closing)
    found = read(path.read_text("utf-8"))
    assert (found[SUCCESS,], found[COMPLETE,]) == (success, completed)
    assert found["batch_screen_exit_code",] == closing.exit_code
    assert ("other_metric",) not in found


@pytest.mark.parametrize(
    "content",
    [
        *(None, b"", b"\xff\xfe", b"{", f"{SUCCESS} soon\n".encode()),
        *(b'x{a="1", ="x"} 1\n', b"x 1 1e999\n"),  # the library's own parser stumbles over these
    ],
)
def test_where_nothing_was_kept_there_was_no_success(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "batch_screen.prom"
    if content is not None:
        path.write_bytes(content)
    write_metrics(path, failed())
    found = read(path.read_text("utf-8"))
    assert (found[SUCCESS,], found[COMPLETE,]) == (0, 0)
    assert len(found) == 4  # nothing is known of rows and lookups


def test_others_may_read_it_and_it_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "batch_screen.prom"
    write_metrics(path, complete())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["batch_screen.prom"]
    with pytest.raises(OutputError, match=r"cannot write .*nowhere"):
        write_metrics(tmp_path / "nowhere" / "x.prom", complete())


def test_crossed_thresholds_are_counted() -> None:
    closing = complete(exit_code=3)
    assert closing.summary
    judgements = [Judgement("rows > 1", 2, crossed=True), Judgement("cost > 99", 1)]
    judged = replace(closing, summary=replace(closing.summary, thresholds=judgements))
    assert read(metrics(judged, {}).decode())["batch_screen_thresholds_crossed",] == 1
