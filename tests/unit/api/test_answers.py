from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batch_screen.api.answers import (
    ANOTHER_NUMBER,
    MALFORMED_HTTP,
    MAX_BODY_BYTES,
    NOT_DECODABLE,
    TRUNCATED,
    WORTH_ANOTHER_TRY,
    parse_instant,
    read_answer,
    retry_after,
)
from batch_screen.model import Answer, Endpoint, LatestChange, Lookup, OutcomeKind

NUMBER = "+491713920012"
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE_DATE = Endpoint.DEVICE_SWAP_DATE
CLAIMS = {
    Endpoint.SIM_SWAP_CHECK: "swapped",
    Endpoint.DEVICE_SWAP_CHECK: "swapped",
    Endpoint.CALL_FORWARDING_CHECK: "active",
}
# Both dialects' names; the device's date was renamed without a new version.
DATES = [
    (DATE, "latestSimChange"),
    (DEVICE_DATE, "latestSimChange"),
    (DEVICE_DATE, "latestDeviceChange"),
]
AT = "2024-09-18T07:37:53.471829447Z"
INSTANT = datetime(2024, 9, 18, 7, 37, 53, 471829, UTC)
NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
NAMES = ("swapped", "active", "latest_change", "latest_change_at", "latest_change_raw")


packed = partial(gzip.compress, mtime=0)
"""Without the time of packing in its head: tests are named after what they are given."""


def asking(endpoint: Endpoint) -> Lookup:
    return Lookup(NUMBER, endpoint, 2400 if endpoint.takes_max_age else None)


def read(endpoint: Endpoint, body: Any, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(asking(endpoint), status, headers, content)


def http_date(instant: datetime) -> str:
    return format_datetime(instant, usegmt=True)


def values(answer: Answer) -> dict[str, Any]:
    found = {name: getattr(answer, name) for name in NAMES}
    return {name: value for name, value in found.items() if value is not None}


def refused(answer: Answer) -> str | None:
    """The reason of a bad response, which holds no value."""
    assert answer.kind is OutcomeKind.BAD_RESPONSE
    assert not values(answer)
    assert answer.http_status == 200
    return answer.reason


# --- 200 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [True, False])
@pytest.mark.parametrize("endpoint", CLAIMS)
def test_claims(endpoint: Endpoint, claim: bool) -> None:
    answer = read(endpoint, {CLAIMS[endpoint]: claim, "more": [1]})
    assert answer.kind is OutcomeKind.SUCCESS
    assert values(answer) == {CLAIMS[endpoint]: claim}
    assert (answer.http_status, answer.reason) == (200, None)


@pytest.mark.parametrize("value", [None, 0, 1, 0.0, "false", "true", "", [], {}, [True]])
@pytest.mark.parametrize("endpoint", CLAIMS)
def test_a_claim_is_true_or_false(endpoint: Endpoint, value: Any) -> None:
    assert refused(read(endpoint, {CLAIMS[endpoint]: value})) == "wrong_type"


@pytest.mark.parametrize(("endpoint", "name"), DATES)
def test_dates(endpoint: Endpoint, name: str) -> None:
    answer = read(endpoint, {name: AT})
    assert answer.kind is OutcomeKind.SUCCESS
    assert values(answer) == {
        "latest_change": LatestChange.REPORTED,
        "latest_change_at": INSTANT,
        "latest_change_raw": AT,
    }


@pytest.mark.parametrize(("endpoint", "name"), DATES)
def test_null_is_none_reported(endpoint: Endpoint, name: str) -> None:
    answer = read(endpoint, {name: None})
    assert answer.kind is OutcomeKind.SUCCESS
    assert values(answer) == {"latest_change": LatestChange.NONE_REPORTED}


@pytest.mark.parametrize(("endpoint", "name"), DATES)
def test_an_empty_date_is_null_and_kept_as_answered(endpoint: Endpoint, name: str) -> None:
    answer = read(endpoint, {name: ""})
    assert answer.kind is OutcomeKind.SUCCESS
    assert values(answer) == {
        "latest_change": LatestChange.NONE_REPORTED,
        "latest_change_raw": "",
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (False, "wrong_type"),
        (0, "wrong_type"),
        (1726645073, "wrong_type"),
        ([], "wrong_type"),
        ([AT], "wrong_type"),
        ({}, "wrong_type"),
        (" ", "not_a_date"),
        ("null", "not_a_date"),
        ("2024-09-18", "not_a_date"),
        ("2024-09-18T07:37:53", "not_a_date"),
        ("9999-12-31T23:59:59-01:00", "not_a_date"),
    ],
)
@pytest.mark.parametrize(("endpoint", "name"), DATES)
def test_a_date_is_an_instant(endpoint: Endpoint, name: str, value: Any, reason: str) -> None:
    assert refused(read(endpoint, {name: value})) == reason


@pytest.mark.parametrize("value", [AT, None, ""])
def test_both_names_of_the_device_date_may_agree(value: Any) -> None:
    one = read(DEVICE_DATE, {"latestSimChange": value})
    assert read(DEVICE_DATE, {"latestSimChange": value, "latestDeviceChange": value}) == one


@pytest.mark.parametrize(
    ("one", "other"), [(AT, None), (AT, "2024-09-19T07:37:53Z"), (None, False), (AT, [AT])]
)
def test_both_names_may_not_conflict(one: Any, other: Any) -> None:
    for body in (
        {"latestSimChange": one, "latestDeviceChange": other},
        {"latestDeviceChange": one, "latestSimChange": other},
    ):
        assert refused(read(DEVICE_DATE, body)) == "conflicting_dates"


def test_the_sim_date_is_no_device_date() -> None:
    assert refused(read(DATE, {"latestDeviceChange": AT})) == "missing_field"
    conflicting = {"latestSimChange": AT, "latestDeviceChange": None}
    assert read(DATE, conflicting).kind is OutcomeKind.SUCCESS


@pytest.mark.parametrize("endpoint", Endpoint)
def test_missing_is_unknown(endpoint: Endpoint) -> None:
    others = {"swapped", "active", "latestSimChange", "latestDeviceChange"} - {
        CLAIMS.get(endpoint, "latestSimChange"),
        "latestDeviceChange" if endpoint is DEVICE_DATE else "",
    }
    for body in ({}, dict.fromkeys(others), {"Swapped": True, "ACTIVE": True}):
        assert refused(read(endpoint, body)) == "missing_field"


@pytest.mark.parametrize("said", [NUMBER, NUMBER[1:], "00" + NUMBER[1:], int(NUMBER), None])
@pytest.mark.parametrize("endpoint", CLAIMS)
def test_a_success_may_repeat_the_number_it_was_asked_about(endpoint: Endpoint, said: Any) -> None:
    body = {CLAIMS[endpoint]: True, "phoneNumber": said}
    assert values(read(endpoint, body)) == {CLAIMS[endpoint]: True}


@pytest.mark.parametrize(
    "said", ["+491713920013", "+49171392001", "+4917139200122", "", "\u202e", 0, [], {}, "x" * 9999]
)
@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_success_about_another_number_is_none(endpoint: Endpoint, said: Any) -> None:
    name = CLAIMS.get(endpoint, "latestSimChange")
    value = AT if endpoint.answers_date else True
    assert refused(read(endpoint, {name: value, "phoneNumber": said})) == ANOTHER_NUMBER


@pytest.mark.parametrize("other", ["Swapped", "SWAPPED", "swapped ", "\uff53wapped", "swapped\0"])
@pytest.mark.parametrize("claim", [True, False])
def test_the_exact_name_alone_counts(other: str, claim: bool) -> None:
    assert read(CHECK, {other: not claim, "swapped": claim}).swapped is claim
    assert refused(read(CHECK, {other: claim})) == "missing_field"


def test_a_body_that_is_empty_as_promised_is_not_asked_for_again() -> None:
    for name in ("Content-Length", "content-length"):
        answer = read_answer(asking(CHECK), 200, CIMultiDict({name: "0"}), b"")
        assert refused(answer) == "empty"
    # Lost on the way, as far as one can tell.
    for headers in ({}, {"Content-Length": "17"}, {"Transfer-Encoding": "chunked"}):
        assert refused(read_answer(asking(CHECK), 200, headers, b"")) == TRUNCATED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", TRUNCATED),
        (b" \r\n", TRUNCATED),
        (b"{", TRUNCATED),
        (b'{"swapped": tru', TRUNCATED),
        (b'{"swapped": true', TRUNCATED),
        (b'{"swapped": true,}', "not_json"),
        (b"{'swapped': true}", "not_json"),
        (b'{"swapped": True}', "not_json"),
        (b'{"swapped": true} {"swapped": true}', "not_json"),
        (b'{"swapped": true, "x": "\xff"}', "not_json"),
        (b"<html>502</html>", "not_json"),
        (b'\xef\xbb\xbf{"swapped": true}', "not_json"),
        ('{"swapped": true}'.encode("utf-16"), "not_json"),
        (packed(b'{"swapped": true}'), "not_json"),
        (b"null", "not_an_object"),
        (b"true", "not_an_object"),
        (b'[{"swapped": true}]', "not_an_object"),
        (b'"{}"', "not_an_object"),
        (b'{"swapped": NaN}', "not_a_number"),
        (b'{"swapped": true, "x": [NaN]}', "not_a_number"),
        (b'{"swapped": true, "x": -Infinity}', "infinite_number"),
        (b'{"swapped": false, "swapped": true}', "duplicate_keys"),
        (b'{"swapped": true, "swapped": true}', "duplicate_keys"),
        (b'{"swapped": true, "\\u0073wapped": true}', "duplicate_keys"),
        (b'{"swapped": true, "x": {"a": 1, "a": 2}}', "duplicate_keys"),
        (b'{"swapped": true, "x": ' + b"9" * 5000 + b"}", "not_json"),
        (b'{"swapped": ' + b"9" * 4000 + b"}", "wrong_type"),
        (b'{"swapped": 1e999}', "wrong_type"),
        (b'{"swapped": 1e400}', "wrong_type"),
        (b'{"swapped": TRUE}', "not_json"),
        (b'{"swapped": "TRUE"}', "wrong_type"),
        (b'{"swapped": {"swapped": true}}', "wrong_type"),
        (b'{"swapped": "' + b"x" * 60_000 + b'"}', "wrong_type"),
        (b'{"swapped": true}\0', "not_json"),
        (b'{"swapped": true}]', "not_json"),
        (b'{"swapped": true}{"swapped": false}', "not_json"),
        (b'{"swapped": true}\n{"swapped": true}', "not_json"),
        (b'{"swapped": true, "x": "a\0b"}', "not_json"),
        (b'\xff\xfe{\0"\0', "not_json"),
        ('{"swapped": true}'.encode("utf-16-le"), TRUNCATED),
        (b'\x0c{"swapped": true}', "not_json"),
        ('{"swapped": true}\u2028'.encode(), "not_json"),
        ('{"swapped": true}'.encode("utf-32"), "not_json"),
        (b"[" * 60_000, "not_json"),
        (b'{"a":' * 13_000, TRUNCATED),
        (b")]}',\n" + b'{"swapped": true}', "not_json"),
        (b'{"x": ' + b"[" * 30_000 + b"]" * 30_000 + b', "swapped": true}', "not_json"),
        (b'{"x":' * 10_000 + b"1" + b"}" * 10_000, "not_json"),
        (b'{"swapped": true}' + b" " * MAX_BODY_BYTES, "too_large"),
    ],
)
def test_damaged_bodies(content: bytes, reason: str) -> None:
    assert refused(read(CHECK, content)) == reason


def test_the_largest_body_is_read() -> None:
    content = b'{"swapped": true}'.ljust(MAX_BODY_BYTES)
    assert read(CHECK, content).swapped is True
    assert refused(read(CHECK, content + b" ")) == "too_large"


# --- Dates that are still to come ---------------------------------------------------------

SKEW = timedelta(minutes=5)
MOMENT = timedelta(microseconds=1)


def read_at(
    changed_at: datetime,
    *,
    here: datetime = NOW,
    date: str | None = None,
    asked: tuple[Endpoint, str] = DATES[0],
) -> Answer:
    """What becomes of that date, read at that time of ours, with that Date header."""
    endpoint, name = asked
    body = json.dumps({name: changed_at.isoformat()}).encode()
    headers = {} if date is None else {"Date": date}
    return read_answer(asking(endpoint), 200, headers, body, clock=lambda: here)


@pytest.mark.parametrize("asked", DATES)
def test_a_date_to_come_is_no_change(asked: tuple[Endpoint, str]) -> None:
    assert read_at(NOW + SKEW, asked=asked).latest_change_at == NOW + SKEW
    assert refused(read_at(NOW + SKEW + MOMENT, asked=asked)) == "future_date"
    assert refused(read_at(datetime.max.replace(tzinfo=UTC), asked=asked)) == "future_date"


@pytest.mark.parametrize("offset", [-14, -1, 0, 5.5, 14])
def test_the_offset_of_a_date_counts(offset: float) -> None:
    zone = timezone(timedelta(hours=offset))
    assert read_at((NOW + SKEW).astimezone(zone)).kind is OutcomeKind.SUCCESS
    assert refused(read_at((NOW + SKEW + MOMENT).astimezone(zone))) == "future_date"


@pytest.mark.parametrize(
    ("here", "server", "is_to_come"),
    [
        (timedelta(0), timedelta(0), True),
        (timedelta(days=-1), timedelta(0), True),
        (timedelta(days=1), timedelta(0), False),  # one of the two clocks is wrong, but which?
        (timedelta(0), timedelta(days=1), False),
        (timedelta(days=-20_000), timedelta(days=1), False),
        (timedelta(days=1), timedelta(days=-20_000), False),
        (timedelta(minutes=30), timedelta(minutes=30), True),
    ],
)
def test_a_date_is_to_come_by_both_clocks(
    here: timedelta, server: timedelta, is_to_come: bool
) -> None:
    answer = read_at(NOW + timedelta(hours=1), here=NOW + here, date=http_date(NOW + server))
    assert (answer.reason == "future_date") is is_to_come
    assert (answer.kind is OutcomeKind.SUCCESS) is not is_to_come


@pytest.mark.parametrize("date", ["", "soon", "0", "Mon, 99 Foo 2026", "9" * 300, "\x1b[31m"])
def test_by_ours_alone_where_the_servers_makes_no_sense(date: str) -> None:
    assert refused(read_at(NOW + timedelta(hours=1), date=date)) == "future_date"
    assert read_at(NOW, date=date).kind is OutcomeKind.SUCCESS


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 1 Jan 0001 00:00:00 +1400"]
)
def test_a_date_header_at_the_ends_of_time_is_compared_all_the_same(date: str) -> None:
    is_late = "9999" in date
    answer = read_at(NOW + timedelta(hours=1), date=date)
    assert answer.kind is (OutcomeKind.SUCCESS if is_late else OutcomeKind.BAD_RESPONSE)


def test_without_a_clock_it_is_the_time_here() -> None:
    past, future = datetime.now(UTC) - SKEW, datetime.now(UTC) + 2 * SKEW
    assert read(DATE, {"latestSimChange": past.isoformat()}).kind is OutcomeKind.SUCCESS
    assert refused(read(DATE, {"latestSimChange": future.isoformat()})) == "future_date"


def test_a_clock_is_looked_at_for_dates_alone() -> None:
    def clock() -> datetime:
        raise AssertionError

    bodies: dict[Endpoint, bytes] = dict.fromkeys(CLAIMS, b'{"swapped": true, "active": true}')
    bodies[DATE] = b'{"latestSimChange": null}'
    for endpoint, body in bodies.items():
        answer = read_answer(asking(endpoint), 200, {}, body, clock=clock)
        assert answer.kind is OutcomeKind.SUCCESS


instants = st.one_of(
    st.timedeltas(-3 * SKEW, 3 * SKEW), st.timedeltas(timedelta(-20_000), timedelta(20_000))
).map(NOW.__add__)


@given(instants, instants, st.none() | instants)
def test_no_date_is_a_success_later_than_both_clocks(
    changed_at: datetime, here: datetime, server: datetime | None
) -> None:
    date = None if server is None else http_date(server)
    answer = read_at(changed_at, here=here, date=date)
    clocks = [here] if server is None else [here, server.replace(microsecond=0)]
    if changed_at > max(clocks) + SKEW:
        assert refused(answer) == "future_date"
    else:
        assert answer.latest_change_at == changed_at


# --- Compressed, though nobody asked for that ---------------------------------------------


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", packed),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("Deflate", raw_deflate),
    "two": ("deflate, gzip", lambda content: packed(zlib.compress(content))),
}
packings = pytest.mark.parametrize(("named", "pack"), PACKED.values(), ids=PACKED)


def read_packed(
    content: bytes, named: str, status: int = 200, name: str = "Content-Encoding"
) -> Answer:
    headers = CIMultiDict({name: named, "Content-Length": str(len(content))})
    return read_answer(asking(CHECK), status, headers, content)


@packings
def test_a_compressed_success_is_one(named: str, pack: Callable[[bytes], bytes]) -> None:
    for name in ("Content-Encoding", "content-encoding"):
        answer = read_packed(pack(b'{"swapped": true}'), named, name=name)
        assert (answer.kind, answer.swapped) == (OutcomeKind.SUCCESS, True)
    # And read as strictly as any other.
    assert refused(read_packed(pack(b'{"swapped": 1}'), named)) == "wrong_type"
    assert refused(read_packed(pack(b"<html>"), named)) == "not_json"


@packings
def test_a_compressed_error_keeps_code_and_message(
    named: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(b'{"code": "QUOTA_EXCEEDED", "message": "no more of +491713920012"}')
    answer = read_packed(body, named, 429)
    assert (answer.kind, answer.code) == (OutcomeKind.RATE_LIMITED, "QUOTA_EXCEEDED")
    assert answer.message == "no more of +4917••••••12"


def test_codings_may_be_named_in_several_headers() -> None:
    headers = CIMultiDict([("Content-Encoding", "gzip"), ("content-encoding", "deflate")])
    content = zlib.compress(packed(b'{"swapped": false}'))
    assert read_answer(asking(CHECK), 200, headers, content).swapped is False


BOMB = packed(b'{"swapped": true}' + b" " * 2**24)


@pytest.mark.parametrize(
    ("content", "named", "reason"),
    [
        (BOMB, "gzip", "too_large"),
        (packed(BOMB), "gzip, gzip", "too_large"),
        (packed(b'{"swapped": true}'.ljust(MAX_BODY_BYTES + 1)), "gzip", "too_large"),
        (b"\x1f" * (MAX_BODY_BYTES + 1), "gzip", "too_large"),
        (packed(b'{"swapped": true}')[:-1], "gzip", TRUNCATED),
        (packed(b'{"swapped": true')[:-9], "gzip", TRUNCATED),
        (packed(b'{"swapped": tru'), "gzip", TRUNCATED),
        (b"", "gzip", "empty"),
        (packed(b'{"swapped": true}')[:-8] + b"\0" * 8, "gzip", NOT_DECODABLE),
        (b"<html>", "gzip", NOT_DECODABLE),
        (packed(b'{"swapped": true}'), "br", "unknown_encoding"),
        (b"\x28\xb5\x2f\xfd", "zstd", "unknown_encoding"),
        (packed(b'{"swapped": true}'), "gzip, gzip, gzip", "unknown_encoding"),
        (packed(b'{"swapped": true}'), "", "not_json"),
        (packed(b'{"swapped": true}'), "identity", "not_json"),
    ],
)
def test_what_cannot_be_unpacked_is_told_apart(content: bytes, named: str, reason: str) -> None:
    assert refused(read_packed(content, named)) == reason
    # The status of an error says enough.
    answer = read_packed(content, named, 404)
    assert (answer.kind, answer.reason, answer.code) == (OutcomeKind.NOT_FOUND, None, None)


def test_the_largest_body_is_unpacked() -> None:
    whole = b'{"swapped": true}'.ljust(MAX_BODY_BYTES)
    assert read_packed(packed(whole), "gzip").swapped is True


@pytest.mark.parametrize("named", ["gzip", "deflate", "br", "utf-8", "none"])
def test_a_header_that_names_what_the_body_is_not_costs_no_answer(named: str) -> None:
    assert read_packed(b' {"swapped": true}', named).swapped is True
    assert refused(read_packed(b'{"swapped": tru', named)) == TRUNCATED
    assert read_packed(b'{"code": "X"}', named, 400).code == "X"


# --- What is worth another attempt ---------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        read(CHECK, b'{"swapped": tru'),  # the end is missing
        read_packed(packed(b'{"swapped": true}')[:-1], "gzip"),
        read_packed(packed(b'{"swapped": true}')[:-8] + b"\0" * 8, "gzip"),  # mangled
        read(CHECK, {"swapped": True, "phoneNumber": "+491713920013"}),  # went astray
    ],
)
def test_what_was_lost_on_its_way_is_worth_another_try(answer: Answer) -> None:
    assert refused(answer) in WORTH_ANOTHER_TRY


def test_what_is_no_http_is_worth_another_try() -> None:
    assert MALFORMED_HTTP == "malformed_http"
    assert MALFORMED_HTTP in WORTH_ANOTHER_TRY


@pytest.mark.parametrize(
    "answer",
    [
        read(CHECK, {}),
        read(CHECK, {"swapped": "true"}),
        read(CHECK, b"<html>"),
        read(CHECK, b'{"swapped": true, "swapped": true}'),
        read(CHECK, b'{"swapped": true}'.ljust(MAX_BODY_BYTES + 1)),
        read(CHECK, b"", **{"Content-Length": "0"}),
        read(DATE, {"latestSimChange": "soon"}),
        read(DATE, {"latestSimChange": "9998-01-01T00:00:00Z"}),
        read_packed(b"", "br"),
        read_packed(BOMB, "gzip"),
        read(CHECK, b"", 302),
        read(CHECK, b"", 204),
    ],
)
def test_what_the_server_has_said_is_not(answer: Answer) -> None:
    assert answer.kind is OutcomeKind.BAD_RESPONSE
    assert answer.reason not in WORTH_ANOTHER_TRY


@pytest.mark.parametrize("depth", range(900, 1010, 3))
def test_comparing_deep_dates_never_runs_out_of_stack(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = b'{"latestSimChange":%b,"latestDeviceChange":%b}' % (deep, deep)
    assert refused(read(DEVICE_DATE, body)) in ("wrong_type", "not_json")


@given(cut=st.integers(0, 15), claim=st.booleans())
def test_no_cut_body_is_a_success(cut: int, claim: bool) -> None:
    whole = json.dumps({"swapped": claim}).encode()
    assert refused(read(CHECK, whole[:cut])) == TRUNCATED


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([AT, "true", ""])
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["swapped", "active", "latestSimChange", "latestDeviceChange", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
endpoints = st.sampled_from(Endpoint)


def assert_justified(endpoint: Endpoint, answer: Answer, body: Any) -> None:
    """A success repeats exactly what the body says; everything else holds no value."""
    if answer.kind is not OutcomeKind.SUCCESS:
        assert refused(answer)
        return
    if not endpoint.answers_date:
        assert values(answer) == {CLAIMS[endpoint]: body[CLAIMS[endpoint]]}
        assert type(body[CLAIMS[endpoint]]) is bool
        return
    names = [name for at, name in DATES if at is endpoint and name in body]
    assert len({json.dumps(body[name]) for name in names}) == 1
    raw = body[names[0]]
    assert answer.latest_change_raw == raw
    assert answer.latest_change_at == (parse_instant(raw) if raw else None)
    assert (answer.latest_change is LatestChange.REPORTED) == bool(raw)


@given(endpoints, documents)
@example(DEVICE_DATE, {"latestSimChange": 0, "latestDeviceChange": False})
def test_any_document_is_read_as_it_is_or_refused(endpoint: Endpoint, body: Any) -> None:
    assert_justified(endpoint, read(endpoint, body), body)


@given(endpoints, st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_as_json_or_refused(endpoint: Endpoint, content: bytes) -> None:
    answer = read(endpoint, content)
    assert_justified(endpoint, answer, answer.kind is OutcomeKind.SUCCESS and json.loads(content))


@given(endpoints, st.sampled_from([True, False, AT]), st.data())
def test_a_flipped_byte_never_changes_the_value_unseen(
    endpoint: Endpoint, value: Any, data: st.DataObject
) -> None:
    name = CLAIMS.get(endpoint, "latestSimChange")
    content = bytearray(json.dumps({name: value}).encode())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    answer = read(endpoint, bytes(content))
    assert_justified(
        endpoint, answer, answer.kind is OutcomeKind.SUCCESS and json.loads(bytes(content))
    )


# --- Everything but 200 ------------------------------------------------------------------

STATUSES = [
    (201, OutcomeKind.BAD_RESPONSE, "unexpected_status"),
    (204, OutcomeKind.BAD_RESPONSE, "unexpected_status"),
    (101, OutcomeKind.BAD_RESPONSE, "unexpected_status"),
    (301, OutcomeKind.BAD_RESPONSE, "redirect"),
    (302, OutcomeKind.BAD_RESPONSE, "redirect"),
    (304, OutcomeKind.BAD_RESPONSE, "redirect"),
    (307, OutcomeKind.BAD_RESPONSE, "redirect"),
    (308, OutcomeKind.BAD_RESPONSE, "redirect"),
    (400, OutcomeKind.REJECTED, None),
    (401, OutcomeKind.FORBIDDEN, None),
    (402, OutcomeKind.FORBIDDEN, None),
    (403, OutcomeKind.FORBIDDEN, None),
    (404, OutcomeKind.NOT_FOUND, None),
    (405, OutcomeKind.REJECTED, "unexpected_status"),
    (408, OutcomeKind.RATE_LIMITED, None),
    (413, OutcomeKind.REJECTED, "unexpected_status"),
    (415, OutcomeKind.REJECTED, "unexpected_status"),
    (421, OutcomeKind.SERVER_ERROR, "misdirected"),
    (422, OutcomeKind.NOT_APPLICABLE, None),
    (425, OutcomeKind.SERVER_ERROR, "too_early"),
    (429, OutcomeKind.RATE_LIMITED, None),
    (500, OutcomeKind.SERVER_ERROR, None),
    (501, OutcomeKind.SERVER_ERROR, "not_implemented"),
    (502, OutcomeKind.SERVER_ERROR, None),
    (503, OutcomeKind.SERVER_ERROR, None),
    (504, OutcomeKind.SERVER_ERROR, None),
    (599, OutcomeKind.SERVER_ERROR, None),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
def test_the_status_decides(status: int, kind: OutcomeKind, reason: str | None) -> None:
    # Neither a body that looks like a success nor another code changes that.
    bodies = ({"swapped": True, "active": True}, {"status": 200, "code": "NOT_FOUND"}, b"")
    for endpoint, body in product(Endpoint, bodies):
        answer = read(endpoint, body, status)
        assert (answer.kind, answer.reason, answer.http_status) == (kind, reason, status)
        assert not values(answer)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (400, "OUT_OF_RANGE"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "QUOTA_EXCEEDED"),
        (500, "INTERNAL_SERVER_ERROR"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_documented_errors_keep_code_and_message(status: int, code: str, as_text: bool) -> None:
    said = str(status) if as_text else status
    answer = read(CHECK, {"status": said, "code": code, "message": "It is so."}, status)
    assert (answer.code, answer.message, answer.http_status) == (code, "It is so.", status)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"status": 404, "message": "gone"}, None, "gone"),
        ({"code": "NOT_FOUND"}, "NOT_FOUND", None),
        ({"type": "about:blank", "title": "Gone", "status": 404}, None, "Gone"),
        ({"title": "Gone", "detail": "really", "instance": "/x"}, None, "really"),
        ({"code": 404, "message": ["gone"]}, None, None),
        ({"code": None, "message": None}, None, None),
        ({"code": "", "message": " \n"}, None, None),
        ({}, None, None),
        ([1], None, None),
        (b"<html><body>404 Not Found</body></html>", None, None),
        (b"\xff\xfe", None, None),
        (b"[" * 60_000, None, None),
        (b'{"code": "X", "n": ' + b"9" * 5_000 + b"}", None, None),
        (b'{"code": "X"}'.ljust(MAX_BODY_BYTES + 1), "X", None),
    ],
)
def test_other_error_bodies(body: Any, code: str | None, message: str | None) -> None:
    answer = read(CHECK, body, 404)
    assert (answer.kind, answer.code, answer.message) == (OutcomeKind.NOT_FOUND, code, message)


def test_foreign_text_is_short_masked_and_plain() -> None:
    body = {
        "code": "\x1b[31mBAD\r\n" + "x" * 300,
        "message": "no such number +491713920012, 0171 392 00 14\u202e\ud800 " + "y" * 500,
    }
    answer = read(CHECK, body, 400)
    assert answer.code is not None
    assert answer.message is not None
    assert answer.code.startswith("[31mBAD x")
    assert len(answer.code) == 100
    assert len(answer.message) == 200
    assert answer.message.startswith("no such number +4917••••••12, 0171 •••••••14 ")
    assert (answer.code + answer.message).isprintable()


@given(endpoints, st.integers(100, 599).filter(lambda s: s != 200), documents, st.binary())
def test_any_error_body_is_kept_safe(
    endpoint: Endpoint, status: int, body: Any, content: bytes
) -> None:
    body = {"code": body, "message": body, "detail": body}
    for answer in (read(endpoint, body, status), read(endpoint, content, status)):
        assert answer.kind is not OutcomeKind.SUCCESS
        assert not values(answer)
        assert not re.search(r"\d{7}", f"{answer.code} {answer.message}")
        msgspec.json.encode(answer)  # the journal can hold it


# --- Retry-After -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        (" 120 ", 120.0),
        ("2678400", 2_678_400.0),  # a month, for what is counted by the month
        ("2678401", None),
        ("1795406706", None),  # an instant in seconds since 1970
        ("9" * 300, None),
        ("9" * 400, None),
        ("1e400", None),
        ("0x10", None),
        ("5, " + "9" * 400, None),
        ("-5", None),
        ("+5", None),
        ("1.5", 1.5),
        ("1.", None),
        ("5, 10", 10.0),
        ("10,0.5 , 2", 10.0),
        ("5,", None),
        ("5, -1", None),
        ("5; 10", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("nan", None),
        ("inf", None),
        ("99 Foo 99999 99:99:99 GMT", None),
        ("Mon, 23 Nov 2026 04:05:06 +99999999999", None),
    ],
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_is_missing() -> None:
    assert retry_after({}) is None
    assert read(CHECK, {}, 429).retry_after_seconds is None


@pytest.mark.parametrize("ahead", [0, 1, 90, 86_400 * 31])
@pytest.mark.parametrize("skew", [timedelta(0), timedelta(days=-900), timedelta(days=900)])
def test_retry_after_as_a_date_is_read_against_the_servers_clock(
    ahead: int, skew: timedelta
) -> None:
    date = NOW + skew
    headers = {
        "Retry-After": http_date(date + timedelta(seconds=ahead)),
        "Date": http_date(date),
    }
    assert retry_after(headers) == ahead


def test_retry_after_in_other_date_formats() -> None:
    date = {"Date": http_date(NOW)}
    assert retry_after({"Retry-After": "Monday, 23-Nov-26 04:05:36 GMT", **date}) == 30
    assert retry_after({"Retry-After": "Mon Nov 23 04:05:36 2026", **date}) == 30
    assert retry_after({"Retry-After": "Mon, 23 Nov 2026 05:05:36 +0100", **date}) == 30


@pytest.mark.parametrize("server", [NOW - timedelta(days=32), datetime(1970, 1, 1, tzinfo=UTC)])
def test_a_date_beyond_a_month_is_no_wait(server: datetime) -> None:
    assert retry_after({"Retry-After": http_date(NOW), "Date": http_date(server)}) is None


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["2", "7"], 7.0),
        (["7", "2"], 7.0),
        (["soon", "2"], 2.0),
        (["2", "-1", "9" * 400], 2.0),
        (["3", http_date(NOW + timedelta(seconds=9))], 9.0),
        (["", "soon"], None),
    ],
)
def test_of_several_headers_the_longest_wait_that_makes_sense_counts(
    texts: list[str], seconds: float | None
) -> None:
    headers = CIMultiDict([("Date", http_date(NOW)), *(("Retry-After", text) for text in texts)])
    assert retry_after(headers) == seconds
    assert read_answer(asking(CHECK), 429, headers, b"").retry_after_seconds == seconds


def test_who_has_answered_asks_for_no_wait() -> None:
    answer = read(CHECK, {"swapped": True}, **{"Retry-After": "7"})
    assert (answer.swapped, answer.retry_after_seconds) == (True, None)


def test_retry_after_in_the_past_is_now() -> None:
    past = {"Retry-After": http_date(NOW - timedelta(hours=1)), "Date": http_date(NOW)}
    assert retry_after(past) == 0.0


def test_without_a_date_header_the_own_clock_must_do() -> None:
    headers = {"Retry-After": http_date(datetime.now(UTC) + timedelta(seconds=60))}
    assert 55 < (retry_after(headers) or 0) <= 60


@pytest.mark.parametrize("date", ["", "soon", "0", "Mon, 99 Foo 2026", "9" * 300, "\x1b[31m"])
def test_with_a_nonsensical_date_header_the_own_clock_must_do(date: str) -> None:
    ahead = http_date(datetime.now(UTC) + timedelta(seconds=60))
    assert 55 < (retry_after({"Retry-After": ahead, "Date": date}) or 0) <= 60


def test_the_header_is_found_however_it_is_spelt() -> None:
    headers = CIMultiDict({"retry-after": "7"})
    answer = read_answer(asking(CHECK), 503, headers, b"")
    assert answer.retry_after_seconds == 7.0


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_any_header_is_a_wait_or_none(text: str, date: str | None) -> None:
    headers = {"Retry-After": text} | ({} if date is None else {"Date": date})
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= 31 * 86_400


@pytest.mark.parametrize("padding", ["", "x" * 190, " " * 300])
def test_a_key_that_the_server_repeats_is_not_kept(padding: str) -> None:
    key = "s3cret/key-of-ours"
    said = json.dumps({"code": f"BAD_{key}", "message": f"{padding}key {key} is bad"})
    answer = read_answer(asking(CHECK), 403, {}, said.encode(), secret=key)
    assert key[:6] not in f"{answer.code} {answer.message}"
    assert answer.code == "BAD_[key]"


minutes = st.integers(-(23 * 60 + 59), 23 * 60 + 59)
written_instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))  # noqa: DTZ001 (made local below)
EPOCH = datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("digits", range(10))
def test_fraction_digits(digits: int) -> None:
    fraction = f".{'987654321'[:digits]}" if digits else ""
    micros = int("987654"[:digits].ljust(6, "0"))
    assert parse_instant(f"2024-09-18T07:37:53{fraction}Z") == datetime(
        2024, 9, 18, 7, 37, 53, micros, UTC
    )


@pytest.mark.parametrize(
    "text",
    [
        "2024-09-18T07:37:53Z",
        "2024-09-18t07:37:53z",
        "2024-09-18 07:37:53Z",
        "2024-09-18T07:37:53+00:00",
        "2024-09-18T07:37:53-00:00",
        "2024-09-18T09:37:53+02:00",
        "2024-09-18T13:07:53+05:30",
        "2024-09-17T22:07:53-09:30",
        "2024-09-19T07:36:53+23:59",
    ],
)
def test_offsets(text: str) -> None:
    assert parse_instant(text) == datetime(2024, 9, 18, 7, 37, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("1677-09-21T00:00:00Z", datetime(1677, 9, 21, tzinfo=UTC)),
        ("2262-04-12T00:00:00Z", datetime(2262, 4, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2000-02-29T00:00:00Z", datetime(2000, 2, 29, tzinfo=UTC)),
        # Leap seconds: the last instant before them.
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2017-01-01T00:59:60+01:00", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_bounds(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-09-18",
        "2024-09-18T07:37Z",
        "2024-09-18T07:37:53",
        "2024-09-18T07:37:53.Z",
        "2024-09-18T07:37:53.1234567890Z",
        "2024-09-18T07:37:53,5Z",
        "2024-09-18T07:37:53+02",
        "2024-09-18T07:37:53+0200",
        "2024-09-18T07:37:53+24:00",
        "2024-09-18T07:37:53+02:60",
        "2024-09-18T07:37:53 Z",
        " 2024-09-18T07:37:53Z",
        "2024-09-18T07:37:53Z\n",
        "24-09-18T07:37:53Z",
        "12024-09-18T07:37:53Z",
        "+2024-09-18T07:37:53Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2024-13-18T07:37:53Z",
        "2023-02-29T07:37:53Z",
        "2024-09-18T24:00:00Z",
        "2024-09-18T07:60:53Z",
        # Sixty seconds where no leap second can be.
        "2024-09-18T07:37:60Z",
        "2024-09-30T23:58:60Z",
        "2024-09-29T23:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "2024-09-18T07:37:61Z",
        "٢٠٢٤-٠٩-١٨T٠٧:٣٧:٥٣Z",
        "1726645073",
        "Wed, 18 Sep 2024 07:37:53 GMT",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    assert parse_instant(text) is None


@given(written_instants, minutes)
def test_round_trip(local: datetime, offset: int) -> None:
    instant = local.replace(tzinfo=timezone(timedelta(minutes=offset)))
    found = parse_instant(instant.isoformat())
    assert found == instant
    assert found.tzinfo is UTC


@given(written_instants, st.integers(0, 10**9 - 1), minutes)
def test_never_later_than_the_exact_instant(local: datetime, nanos: int, offset: int) -> None:
    whole = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    text = f"{whole.isoformat()[:19]}.{nanos:09}{whole.isoformat()[19:]}"
    found = parse_instant(text)
    assert found is not None
    exact = Fraction(nanos, 1000)
    lost = exact - (found - whole) // timedelta(microseconds=1)
    assert 0 <= lost < 1


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    found = parse_instant(text)
    assert found is None or found >= EPOCH
