from __future__ import annotations

import pytest

from benchmarks.engine import sampling
from benchmarks.engine.clients import Taken
from benchmarks.engine.sampling import part_of
from benchmarks.engine.server import REPLY, request_bytes
from benchmarks.engine.speeds import parts_of

REQUEST = b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 4\r\n\r\n{..}"


@pytest.mark.parametrize("more", [b"", b"POST"])
def test_a_request_ends_where_its_length_says(more: bytes) -> None:
    assert request_bytes(REQUEST + more) == len(REQUEST)


def test_a_request_that_has_not_all_come_has_no_end() -> None:
    assert {request_bytes(REQUEST[:end]) for end in range(len(REQUEST))} == {None}


def test_the_reply_is_as_long_as_it_says() -> None:
    head, body = REPLY.split(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")


@pytest.mark.parametrize(
    ("modules", "part"),
    [
        (["json.decoder", "batch_screen.api.answers"], sampling.READING),
        (["aiohttp.client_proto"], sampling.HTTP),
        (["batch_screen.api.transport", "batch_screen.engine.dispatcher"], sampling.HTTP),
        (["aiolimiter.leakybucket", "batch_screen.engine.pacer"], sampling.PACING),
        (["batch_screen.engine.paces"], sampling.TASKS),
        (["asyncio.tasks", "batch_screen.engine.dispatcher"], sampling.TASKS),
        (["batch_screen.journal.records", "batch_screen.engine.checkpoint"], sampling.JOURNAL),
        (["aiohttps"], sampling.LOOP),
        ([], sampling.LOOP),
    ],
)
def test_the_innermost_module_that_is_known_decides(modules: list[str], part: str) -> None:
    assert part_of(iter(modules)) == part


def test_what_no_thread_we_know_of_has_used_is_the_others() -> None:
    parts = parts_of(Taken(10, 9.0, 8.0, 6.0, 1.5, {"a": 1.0, "b": 5.0}))
    assert list(parts)[:2] == ["b", "a"]
    assert sum(parts.values()) == pytest.approx(8)


def test_clocks_that_disagree_by_a_little_leave_nothing_below_zero() -> None:
    assert min(parts_of(Taken(10, 9.0, 7.4, 6.0, 1.5, {"a": 6.0})).values()) == 0
