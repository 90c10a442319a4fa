"""The report in a browser: nothing is asked for, nothing complained of, nothing cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from batch_screen.reports.page import page
from tests.thoroughness import in_full
from tests.unit.reports.materials import largest, material, stopped

from .conftest import Window, chromium

pytestmark = pytest.mark.browser

PAGES = {"plain": material, "stopped": stopped, "largest": largest}
WIDTHS = (1280, 390, 320)

WIDER_THAN_THE_PAGE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Words of a drawing beyond its edge, or upon each other.
CLIPPED_WORDS = """() => [...document.querySelectorAll('svg.chart')].flatMap(svg => {
    const edge = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < edge.left - 1 || box.right > edge.right + 1
            || box.top < edge.top - 1 || box.bottom > edge.bottom + 1);
    }).map(text => text.textContent);
})"""
# But for headings of columns that narrow pages keep for those who listen.
CUT_OFF = """() => [...document.querySelectorAll('h1, h2, p, dd, li, caption, th, td')]
    .filter(e => !(e.closest('thead')?.clientWidth <= 1))
    .filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent)"""
SCROLLING_TABLES = """() => [...document.querySelectorAll('.table')]
    .filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.querySelector('caption').textContent)"""
SHOWN_DRAWINGS = """() => [...document.querySelectorAll('svg.pace')]
    .filter(e => e.getBoundingClientRect().width > 0)
    .map(e => e.getAttribute('class'))"""
INK_AND_CARD = """() => ['h1', 'header'].map((e, i) => getComputedStyle(
    document.querySelector(e))[i ? 'backgroundColor' : 'color'])"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {name: folder / f"{name}.html" for name in PAGES}
    for name, path in written.items():
        path.write_bytes(page(PAGES[name]()))
    return written


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=in_full)])
@pytest.mark.parametrize("name", PAGES)
def test_no_request_leaves_and_nothing_is_complained_of(
    window: Window, files: dict[str, Path], name: str, scheme: str
) -> None:
    shown = window.show(files[name], scheme=scheme)
    for width in WIDTHS:
        shown.resize(width)
        assert shown.evaluate(WIDER_THAN_THE_PAGE) <= 0, width
        assert shown.evaluate(CLIPPED_WORDS) == [], width
        narrow = "narrow" if width < 640 else "wide"
        assert shown.evaluate(SHOWN_DRAWINGS) == [f"chart pace {narrow}"]
    assert shown.said == []
    assert shown.asked == [files[name].as_uri()]


def test_what_leaves_or_complains_would_be_noticed(window: Window, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.html"
    wide = '<svg class="chart" width="20" height="20"><text x="5" y="15">too long</text></svg>'
    wide += '<p style="width: 9px; overflow: hidden">unbreakable</p><b style="width:9999px">'
    script = "<script>console.error('heard')</script><img src='http://127.0.0.1:9/x.png'>"
    spoiled.write_text(f"<!doctype html>{wide}<pre>{'w' * 999}</pre>{script}", "utf-8")
    shown = window.show(spoiled)
    assert "heard" in shown.said
    assert "http://127.0.0.1:9/x.png" in shown.asked
    assert shown.evaluate(WIDER_THAN_THE_PAGE) > 0
    assert shown.evaluate(CLIPPED_WORDS) == ["too long"]
    assert shown.evaluate(CUT_OFF) == ["unbreakable"]


def test_the_page_forbids_what_could_be_smuggled_into_it(
    window: Window, files: dict[str, Path], tmp_path: Path
) -> None:
    smuggled = tmp_path / "smuggled.html"
    more = b"<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x.png'></body>"
    smuggled.write_bytes(files["plain"].read_bytes().replace(b"</body>", more))
    shown = window.show(smuggled)
    assert shown.page.title() != "ran"
    assert sum("Content Security Policy" in line for line in shown.said) == 2


@pytest.mark.parametrize("name", ["plain", pytest.param("stopped", marks=in_full)])
def test_nothing_is_cut_off(window: Window, files: dict[str, Path], name: str) -> None:
    shown = window.show(files[name])
    for width in (*WIDTHS, 700):
        shown.resize(width)
        assert shown.evaluate(CUT_OFF) == [], width
        assert shown.evaluate(SCROLLING_TABLES) == [], width


def test_both_schemes_are_there(window: Window, files: dict[str, Path]) -> None:
    light = window.show(files["plain"]).evaluate(INK_AND_CARD)
    dark = window.show(files["plain"], scheme="dark").evaluate(INK_AND_CARD)
    assert light == ["rgb(23, 32, 43)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(232, 236, 241)", "rgb(25, 31, 38)"]


def test_paper(window: Window, files: dict[str, Path]) -> None:
    shown = window.show(files["plain"], 794, "dark")
    shown.page.emulate_media(media="print")
    assert shown.evaluate(INK_AND_CARD) == ["rgb(0, 0, 0)", "rgba(0, 0, 0, 0)"]
    assert not shown.page.locator("nav").is_visible()
    assert shown.evaluate(WIDER_THAN_THE_PAGE) <= 0
    assert shown.evaluate(CLIPPED_WORDS) == []
    printed = shown.page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 4 <= printed.count(b"/Type /Page\n") <= 9


@pytest.mark.parametrize(("is_ci", "end"), [("true", pytest.fail), ("", pytest.skip)])
def test_without_a_browser_only_continuous_integration_fails(
    monkeypatch: pytest.MonkeyPatch, is_ci: str, end: object
) -> None:
    monkeypatch.setenv("CI", is_ci)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(end.Exception, match="apt-get install chromium"):  # type: ignore[attr-defined]
        chromium()
