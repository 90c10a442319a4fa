from benchmarks.startup import Import, imports_in, middles

REPORT = """\
import time: self [us] | cumulative | imported package
import time:       500 |        500 |   zlib
noise | that | is none
import time:      1000 |       1500 | tokenize
"""


def test_a_report_is_read_line_by_line() -> None:
    assert imports_in(REPORT) == [Import("zlib", 0.5, 0.5), Import("tokenize", 1.0, 1.5)]


def test_the_slowest_comes_first_and_an_odd_one_out_does_not_count() -> None:
    reports = [[Import("a", 1, 1), Import("b", 2, 3)], [Import("a", 90, 91), Import("b", 2, 3)]]
    reports.append([Import("a", 1, 1)])
    assert [each.name for each in middles(reports)] == ["b", "a"]
