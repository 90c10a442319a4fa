from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from batch_screen.model import Endpoint
from batch_screen.reports.page import page
from batch_screen.reports.verdict import Material
from batch_screen.tables.errors import ErrorSummary, Failure, RejectExample
from batch_screen.tables.summary import Judgement

from .materials import RUN, breakdown, largest, material, session, stopped, summary
from .reading import read

NUMBER = "+447700900123"
MOST_BYTES = 300_000
SECTIONS = [
    "accounting",
    "findings",
    "ages",
    "pace",
    "failures",
    "rejects",
    "latency",
    "cost",
    "changes",
    "settings",
    "files",
]
EVERY = {"plain": material, "stopped": stopped, "largest": largest}


@pytest.fixture(scope="module", params=EVERY)
def written(request: pytest.FixtureRequest) -> bytes:
    return page(EVERY[request.param]())


def test_a_page_needs_nothing_and_runs_nothing(written: bytes) -> None:
    root = read(written)
    tags = {element.tag for element in root.all()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use"}
    for element in root.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "style", "xlink:href", "action")
            assert name != "href" or value.startswith("#")
            assert "//" not in value
    assert not re.search(rb"url\(|@import|@font-face", written)


def test_a_page_tells_the_browser_to_ask_nobody(written: bytes) -> None:
    metas = [element.attributes for element in read(written).all("meta")]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas
    assert {"name": "referrer", "content": "no-referrer"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas


def test_a_page_can_be_found_ones_way_through(written: bytes) -> None:
    root = read(written)
    [html] = root.all("html")
    assert html.attributes["lang"] == "en"
    assert RUN in root.all("title")[0].text
    headings = [int(e.tag[1]) for e in root.all("h1", "h2", "h3", "h4")]
    assert headings.count(1) == 1 == headings[0]
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert [e.attributes["id"] for e in root.all("section")] == SECTIONS
    links = [e.attributes["href"] for e in root.all("a")]
    assert links == [f"#{name}" for name in SECTIONS]


def test_tables_name_their_rows_and_columns(written: bytes) -> None:
    for table in read(written).all("table"):
        assert table.all("caption")[0].text
        [head] = table.all("thead")
        assert {th.attributes.get("scope") for th in head.all("th")} == {"col"}
        [body] = table.all("tbody")
        for row in body.all("tr"):
            assert [th.attributes.get("scope") for th in row.all("th")] == ["row"]
            assert len(row.all("th", "td")) == len(head.all("th"))


def test_drawings_are_described(written: bytes) -> None:
    for svg in read(written).all("svg"):
        if svg.attributes.get("aria-hidden") == "true":
            assert svg.attributes["class"] == "bar"  # its figure stands beside it
            continue
        assert svg.attributes["role"] == "img"
        assert svg.all("title")[0].text
        assert svg.all("desc")[0].text


@pytest.mark.parametrize("name", EVERY)
def test_size(name: str) -> None:
    assert len(page(EVERY[name]())) < MOST_BYTES


def test_many_starts_do_not_make_it_longer() -> None:
    pace = largest().summary.starts[0].pace
    few = [replace(session(pace), started_at=session().started_at) for _ in range(10)]
    long = [replace(s, attempts=s.attempts * 9, ended_at=s.ended_at + timedelta(1)) for s in few]
    sizes = [len(page(material(starts=starts))) for starts in (few, few * 30, long)]
    assert max(sizes) < MOST_BYTES
    assert max(sizes) - min(sizes) < 2_000


def test_the_same_files_give_the_same_page() -> None:
    assert page(material()) == page(material())


def test_what_others_said_is_text_and_masked() -> None:
    said = "<script>alert(1)</script><img src=x onerror=y>{{ 7 * 7 }} & \"'"
    plain = material()
    failure = Failure("sim-swap/check", "rejected", 400, said, said, 3)
    example = RejectExample(said, said, said, 1)
    settings = {
        **plain.summary.settings,
        "input.phone_column": said,
        "input.keep_columns": [NUMBER, said],
        "api.base_url": "https://someone:s3cret-pass@api.example/v1",
        "numbers.test_numbers": [NUMBER],
    }
    altered = replace(plain.summary, settings=settings, facts={said: f"{said} {NUMBER}"})
    spoiled = plain._replace(summary=altered, errors=ErrorSummary([failure], {"empty": [example]}))
    written = page(spoiled)
    root = read(written)
    assert "script" not in {element.tag for element in root.all()}
    assert "img" not in {element.tag for element in root.all()}
    assert said in root.by_id("failures").text
    assert said in root.by_id("rejects").text
    assert b"900123" not in written
    assert b"s3cret-pass" not in written
    assert "api.example" in root.by_id("settings").text


def test_a_complete_run_says_what_to_look_at_and_accounts_for_all() -> None:
    root = read(page(material()))
    [verdict] = root.all("h1")
    assert verdict.text == "Complete: 5 of 200 numbers deserve a look"
    accounting = root.by_id("accounting").text
    assert "130 rows read = 110 accepted + 20 rejected" in accounting
    assert "110 accepted = 100 numbers + 10 repeats" in accounting
    assert "500 lookups = 490 success + 5 not_found + 5 timeout + 0 skipped" in accounting
    assert "First run: nothing to compare" in root.by_id("changes").text
    assert f"batch-screen validate . --run {RUN}" in root.by_id("files").text
    assert "a1a1" in root.by_id("files").text
    assert "2.50" in root.by_id("cost").text
    assert "bands of the risk view (risk_version 1)" in root.by_id("ages").text


def test_a_stopped_run_says_why_and_how_to_go_on() -> None:
    root = read(page(stopped()))
    assert root.all("h1")[0].text.startswith("Stopped: 500 of 700 lookups have an outcome")
    header = root.all("header")[0].text
    assert "the account is empty: top it up (exit code 4)" in header
    assert "--run-date 2026-11-23 and without --new-run" in header
    assert "come with the end of the run" in root.by_id("findings").text
    assert "still to be asked 40 40 40 40 40" in root.by_id("accounting").text


def test_an_empty_run_has_a_page_too() -> None:
    rows = replace(summary().rows, read=0, accepted=0, rejected=0, duplicates=0, unique_numbers=0)
    none = replace(rows, rejected_by_reason={})
    altered = summary(rows=none, endpoints={}, starts=[], cost=0.0, facts={})
    found = replace(breakdown(), numbers=0, values={})
    root = read(page(Material(altered, found, ErrorSummary([], {}), [])))
    assert "no row held a number" in root.all("h1")[0].text
    assert "No pace was recorded" in root.by_id("pace").text
    assert "No endpoint was asked that tells the date" in root.by_id("ages").text
    assert "None" in root.by_id("failures").text
    assert "None" in root.by_id("rejects").text


def test_crossed_thresholds_are_said_first_and_shown() -> None:
    crossed = Judgement("positive_rate > 2%", 0.031, crossed=True)
    root = read(page(material(thresholds=[crossed, Judgement("cost > 9", 1.0)])))
    assert root.all("h1")[0].text.startswith("Complete, but 1 threshold was crossed; 5 of 200")
    assert "positive_rate > 2% 0.031 crossed" in root.by_id("changes").text
    assert "Crossed: positive_rate > 2%." in root.all("header")[0].text


def test_only_what_was_asked_is_shown() -> None:
    name = Endpoint.CALL_FORWARDING_CHECK.value
    plain = material()
    assert plain.breakdown is not None
    found = replace(plain.breakdown, values={name: plain.breakdown.values[name]})
    altered = replace(plain.summary, endpoints={name: plain.summary.endpoints[name]})
    root = read(page(plain._replace(summary=altered, breakdown=found)))
    assert len(root.by_id("findings").all("table")) == 1
    assert "sim-swap" not in root.by_id("findings").text + root.by_id("ages").text
