from __future__ import annotations

import json

import msgspec

from batch_screen.cli.validate import _as_json, _block
from batch_screen.tables.integrity import Difference, Validation, VerifyCheck

FINE = VerifyCheck("marker", "_SUCCESS holds the manifest's SHA-256", 1)
WRONG = VerifyCheck(
    "files",
    "files have the manifest's bytes, SHA-256 and rows",
    1_234,
    (Difference("runs/x/errors.csv", "2 bytes, 3 in the manifest"), Difference("a", "gone")),
    "restore them",
)
NOT_MADE = [VerifyCheck(name, "rows", 0, unchecked="1 of 3 parts") for name in ("rows", "summary")]


def block(*checks: VerifyCheck) -> list[str]:
    return _block(Validation("20261123-0123456789", "out", checks)).splitlines()


def test_a_whole_run() -> None:
    assert block(FINE) == [
        "run 20261123-0123456789 in out · whole",
        "",
        "  ok           marker                1  _SUCCESS holds the manifest's SHA-256",
    ]


def test_differences_stand_below_their_check_and_what_to_do_below_them() -> None:
    lines = block(FINE, WRONG)
    assert lines[0] == "run 20261123-0123456789 in out · 2 differences: do not load it"
    assert lines[3:] == [
        "  DIFFERS      files             1,234  files have the manifest's bytes, SHA-256 and rows",
        "      runs/x/errors.csv: 2 bytes, 3 in the manifest",
        "      a: gone",
        "      to do: restore them",
    ]


def test_modes_alone_are_no_reason_not_to_load() -> None:
    open_ = VerifyCheck("private", "closed to others", 2, (Difference("a", "mode 0644"),), "chmod")
    said = "1 differences, all of modes: its data is what was written"
    assert block(FINE, open_)[0].endswith(f"· {said}")
    assert block(FINE, open_, WRONG)[0].endswith("· 3 differences: do not load it")
    assert block(FINE, open_, *NOT_MADE)[0].endswith("· 1 differences: do not load it")


def test_why_checks_were_not_made_is_said_once() -> None:
    lines = block(WRONG, *NOT_MADE)
    assert [line.split()[:3] for line in lines[-3:-1]] == [
        ["not", "checked", "rows"],
        ["not", "checked", "summary"],
    ]
    assert lines[-1] == "  not checked: 1 of 3 parts"


def test_json_says_the_same() -> None:
    found = [Validation("r", "out", (FINE,)), Validation("s", "out", (WRONG,))]
    told = json.loads(msgspec.json.encode(_as_json(found)))
    assert [(run["run_id"], run["whole"]) for run in told] == [("r", True), ("s", False)]
    [check] = told[1]["checks"]
    assert check["differences"][1] == {"where": "a", "what": "gone"}
    assert (check["examined"], check["remedy"]) == (1_234, "restore them")


def test_a_check_that_was_not_made_leaves_no_run_whole() -> None:
    found = Validation("r", "out", (FINE, *NOT_MADE))
    assert not found.is_whole
    assert found.differences == 0
