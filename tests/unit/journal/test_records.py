from __future__ import annotations

import random
import zlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.journal.records import (
    FORMAT,
    VERSION,
    BadLineError,
    Header,
    Record,
    SpendCounter,
    decode,
    encode,
)
from batch_screen.model import (
    CANNOT_CONNECT,
    Attempt,
    Endpoint,
    Intent,
    LatestChange,
    Outcome,
    OutcomeKind,
    Spent,
    WithheldOutcome,
)
from tests.thoroughness import examples

NUMBER = "+491713920012"
FULL = Outcome(
    NUMBER,
    Endpoint.SIM_SWAP_DATE,
    None,
    kind=OutcomeKind.SUCCESS,
    latest_change=LatestChange.REPORTED,
    latest_change_at=datetime(2024, 9, 18, 7, 37, 53, 471829, tzinfo=UTC),
    latest_change_raw="2024-09-18T07:37:53.471829447Z",
    http_status=200,
    attempts=2,
    refusals=1,
    latency_ms=12.345,
    responded_at=datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=UTC),
    correlator="c0ffee",
)
INSTANTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.one_of(st.none(), st.text(max_size=20))
OUTCOMES = st.builds(
    Outcome,
    e164=st.from_regex(r"\+4477009[0-9]{5}", fullmatch=True),
    endpoint=st.sampled_from(Endpoint),
    max_age_minutes=st.one_of(st.none(), st.integers(1, 2400)),
    kind=st.sampled_from(OutcomeKind),
    reason=TEXTS,
    swapped=st.one_of(st.none(), st.booleans()),
    active=st.one_of(st.none(), st.booleans()),
    latest_change=st.one_of(st.none(), st.sampled_from(LatestChange)),
    latest_change_at=st.one_of(st.none(), INSTANTS),
    latest_change_raw=TEXTS,
    http_status=st.one_of(st.none(), st.integers(100, 599)),
    code=TEXTS,
    message=TEXTS,
    attempts=st.integers(0, 99),
    refusals=st.integers(0, 99),
    latency_ms=st.one_of(st.none(), st.floats(0, 1e6)),
    responded_at=st.one_of(st.none(), INSTANTS),
    correlator=TEXTS,
)


@given(OUTCOMES)
def test_every_outcome_survives_the_round_trip_on_one_line(outcome: Outcome) -> None:
    line = encode(outcome)
    assert line.count(b"\n") == 1
    assert decode(line) == outcome


@pytest.mark.parametrize(
    "record",
    [
        Header(FORMAT, VERSION, "20261123-c0ffee0000", 7),
        Intent(NUMBER, Endpoint.SIM_SWAP_CHECK, 2400, attempt=3),
        Attempt(NUMBER, Endpoint.CALL_FORWARDING_CHECK, None, OutcomeKind.TIMEOUT),
        Attempt(
            NUMBER, Endpoint.SIM_SWAP_CHECK, 1, OutcomeKind.UNREACHABLE, reason="cannot_connect"
        ),
        FULL,
    ],
)
def test_every_kind_of_record_survives_the_round_trip(record: object) -> None:
    assert decode(encode(record)) == record  # type: ignore[arg-type]


def test_the_format_is_pinned() -> None:
    # Journals of earlier versions must stay readable: change VERSION when this changes.
    assert encode(Intent(NUMBER, Endpoint.SIM_SWAP_CHECK, 2400)) == (
        b'4db1cef4 {"t":"intent","e164":"+491713920012","endpoint":"sim-swap/check",'
        b'"max_age_minutes":2400}\n'
    )
    assert encode(FULL) == (
        b'35223c60 {"t":"outcome","e164":"+491713920012","endpoint":"sim-swap/retrieve-date",'
        b'"kind":"success","latest_change":"reported",'
        b'"latest_change_at":"2024-09-18T07:37:53.471829Z",'
        b'"latest_change_raw":"2024-09-18T07:37:53.471829447Z","http_status":200,"attempts":2,'
        b'"refusals":1,"latency_ms":12.345,"responded_at":"2026-11-23T01:02:03.000004Z",'
        b'"correlator":"c0ffee"}\n'
    )


@examples(400)
@given(data=st.data())
def test_no_damage_passes_for_a_record(data: st.DataObject) -> None:
    line = encode(FULL)
    at = data.draw(st.integers(0, len(line) - 1))
    how = data.draw(st.sampled_from(["cut", "flip", "swap", "zero", "insert"]))
    damaged = bytearray(line)
    if how == "cut":
        del damaged[at:]
    elif how == "flip":
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "swap":
        other = data.draw(st.integers(0, len(line) - 1))
        damaged[at], damaged[other] = damaged[other], damaged[at]
    elif how == "zero":
        damaged[at:] = bytes(len(damaged) - at)
    else:
        damaged.insert(at, data.draw(st.integers(0, 255)))
    if bytes(damaged) == line:
        return
    with pytest.raises(BadLineError):
        decode(bytes(damaged))


@given(st.binary(max_size=100))
def test_no_junk_passes_for_a_record(junk: bytes) -> None:
    with pytest.raises(BadLineError):
        decode(junk)


def checked(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"t":"outcome","e164":"\xff","endpoint":"sim-swap/check"}',
        b'{"t":"outcome","e164":"+4477","endpoint":"sim-swap/unheard-of"}',
        b'{"t":"outcome","e164":"+4477"}',
        b'{"t":"outcome","e164":"+4477","endpoint":"sim-swap/check","kind":"fine"}',
        b'{"t":"verdict","e164":"+4477","endpoint":"sim-swap/check"}',
        b'{"t":"outcome","e164":"+4477","endpoint":"sim-swap/check","swapped":"false"}',
    ],
)
def test_a_good_checksum_does_not_make_a_foreign_record_ours(content: bytes) -> None:
    with pytest.raises(BadLineError):
        decode(checked(content))


def test_an_error_repeats_nothing_of_the_line() -> None:
    with pytest.raises(BadLineError) as caught:
        decode(checked(msgspec.json.encode({"t": "outcome", "e164": NUMBER, "endpoint": "x"})))
    assert NUMBER not in str(caught.value)


CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
NUMBER_OF_TALLY = "+447700900001"

# What becomes of a request → the records it leaves, and what it has spent.
ENDS: dict[str, tuple[list[Record], Spent]] = {
    "answered": ([Outcome(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.SUCCESS, refusals=7)], Spent(1)),
    "failed": ([Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.TIMEOUT)], Spent(1)),
    "refused": ([Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.RATE_LIMITED)], Spent(1, 1)),
    "refused for good": (
        [Outcome(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.RATE_LIMITED)],
        Spent(1, 1),
    ),
    "never sent": (
        [Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT)],
        Spent(),
    ),
    "connection lost": (
        [Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.UNREACHABLE, reason="connection_lost")],
        Spent(1),
    ),
    "about the account": (
        [Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.FORBIDDEN, reason="account")],
        Spent(1),
    ),
    "out of quota": (
        [Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.RATE_LIMITED, reason="account")],
        Spent(1, 1),
    ),
    "held back": (
        [WithheldOutcome(Outcome(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.NOT_FOUND))],
        Spent(1),
    ),
    "held back and believed": (
        [
            WithheldOutcome(Outcome(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.NOT_FOUND)),
            Outcome(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.NOT_FOUND),
        ],
        Spent(1),
    ),
    "held back and forgotten": (
        [Attempt(NUMBER_OF_TALLY, CHECK, kind=OutcomeKind.NOT_FOUND, reason="held_back")],
        Spent(1),
    ),
    "no answer before a crash": ([], Spent(1)),
}


def counted(*records: Record) -> dict[Endpoint, Spent]:
    tally = SpendCounter()
    for record in records:
        tally.count(record)
    return tally.spent()


@pytest.mark.parametrize("end", ENDS)
def test_what_becomes_of_a_request(end: str) -> None:
    records, spent = ENDS[end]
    assert counted(Intent(NUMBER_OF_TALLY, CHECK), *records) == {CHECK: spent}


def test_what_was_not_asked_costs_nothing() -> None:
    header = Header(FORMAT, VERSION, "20261123-c0ffee0000", 0)
    skipped = Outcome(NUMBER_OF_TALLY, DATE, kind=OutcomeKind.SKIPPED, reason="not_implemented")
    assert counted(header, skipped) == {}


@given(st.lists(st.sampled_from(sorted(ENDS))), st.randoms(), st.integers(0, 100))
def test_any_order_and_any_cut_into_parts(ends: list[str], chance: random.Random, cut: int) -> None:
    records = [r for end in ends for r in (Intent(NUMBER_OF_TALLY, CHECK), *ENDS[end][0])]
    chance.shuffle(records)
    expected = Spent(
        sum(ENDS[end][1].requests for end in ends), sum(ENDS[end][1].refusals for end in ends)
    )
    whole = SpendCounter()
    for part in (records[:cut], records[cut:]):
        whole.add(counted(*part))
    assert whole.spent() == counted(*records)
    assert whole.spent().get(CHECK, Spent()) == expected
