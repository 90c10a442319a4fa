"""A key that is known leaves every text, however it is spelled there."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.masking import hide, hide_keys, masked_logger, safe_line, safe_text
from batch_screen.masking.keys import forget_keys
from tests.discretion import secrets_in
from tests.thoroughness import examples

KEY = "t0p/s3cret+key=of\"%41'ours\\n9"
NUMBER = "+442079460123"
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60)
SPELLINGS = {
    "plain": lambda key: key,
    "twice": lambda key: key + key,
    "quoted": lambda key: quote(key, safe=""),
    "percent": lambda key: "".join(f"%{ord(c):02x}" for c in key),
    "unicode": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "bytes": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "entities": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "json": json.dumps,
    "json-twice": lambda key: json.dumps(json.dumps(key)),
    "repr": lambda key: repr({"apiKey": key}),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64-later": lambda key: base64.b64encode(f"u:{key}!".encode()).decode(),
    "base64-address": lambda key: base64.urlsafe_b64encode(f"us:{key}".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "wrapped": lambda key: key[:6] + "\n    " + key[6:],
    "wrapped-repr": lambda key: key[:6] + "'\n '" + key[6:],
    "wrapped-coded": lambda key: "\n".join(base64.encodebytes(key.encode()).decode()),
    "cut": lambda key: key[:11] + "…",
    "tail": lambda key: "…" + key[-11:],
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_keys()
    yield
    forget_keys()


@pytest.mark.parametrize("spelling", SPELLINGS)
@examples(100)
@given(key=keys, before=st.text(max_size=6), after=st.text(max_size=6))
def test_no_spelling_survives(spelling: str, key: str, before: str, after: str) -> None:
    forget_keys()
    hide(key)
    said = hide_keys(f"{before} {SPELLINGS[spelling](key)} {after}")
    assert "[key]" in said
    assert secrets_in(said, key, []) == set()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_awkward_key(spelling: str) -> None:
    hide(KEY)
    said = hide_keys(f"a {SPELLINGS[spelling](KEY)} b")
    assert secrets_in(said, KEY, []) == set()
    assert said.startswith("a ")
    assert said.endswith(" b")


def test_other_text_is_left() -> None:
    text = "run 20261123-0123456789: no such file 'a%20b.csv'\n\tnext"
    assert hide_keys(text) == text
    hide(KEY)
    assert hide_keys(text) == text
    hide("x")  # found by trying, and part of every text
    assert hide_keys("xyz" * 9) == "xyz" * 9


def test_masked_before_shortened() -> None:
    hide(KEY)
    for limit in range(1, 60):
        assert secrets_in(safe_line("abc" * 9 + KEY + NUMBER, limit), KEY, [NUMBER]) == set()


def test_a_control_character_hides_nothing() -> None:
    hide(KEY)
    broken = f"{KEY[:5]}\x1b{KEY[5:]} {NUMBER[:6]}\x1b[1m\u202e{NUMBER[6:]}"
    for said in (safe_line(broken), safe_text(broken)):
        assert secrets_in(said, KEY, [NUMBER]) == set()
        assert said.isprintable()


class Request:
    def __repr__(self) -> str:
        return f"<Request {{'apiKey': {KEY!r}}} for {NUMBER}>"


def test_other_peoples_handlers_get_masked_records(caplog: pytest.LogCaptureFixture) -> None:
    hide(KEY)
    log = masked_logger("batch_screen.test")
    assert masked_logger("batch_screen.test").filters == log.filters
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError(KEY, NUMBER)
        except ValueError:
            log.exception("lost %r\n100 %% of %s", Request(), NUMBER, stack_info=True)
        log.warning("does not fit %d", KEY)
    assert len(caplog.records) == 2
    for record in caplog.records:
        shown = logging.Formatter().format(record) + repr(vars(record))
        assert secrets_in(shown, KEY, [NUMBER]) == set()
        assert "Traceback" not in shown
    assert caplog.records[0].getMessage().endswith("100 % of +4420••••••23")
