"""docs/reference/outcomes.md: what happens to rows and lookups, and what to do about it."""

from __future__ import annotations

import math

from msgspec import structs

from batch_screen.api.answers import read_answer
from batch_screen.config.settings import Settings
from batch_screen.engine.retry import account_error
from batch_screen.engine.verdicts import Verdict, judge
from batch_screen.errors import Stopped
from batch_screen.model import CANNOT_CONNECT, TOO_LONG, Answer, Endpoint, Lookup, OutcomeKind
from batch_screen.numbers.rules import MEANING as RULES
from batch_screen.numbers.rules import REMEDY as REJECTS
from batch_screen.numbers.rules import Modifier, RejectReason, Rule
from batch_screen.profile.damage import MEANING as DAMAGE
from batch_screen.tables.errors import MEANING, REMEDY, RETRY_CAN_HELP
from docs.generate.markdown import code, page, table

_LOOKUP = Lookup("+12025550123", Endpoint.SIM_SWAP_CHECK, 2400)
_AGAIN = {True: "yes", False: "no"}
_STOPS = "the run stops, to be resumed; exit code {:d}"
_FATES = {
    Verdict.FINAL: "final",
    Verdict.RETRY: "asked again, up to `retry.max_attempts` attempts",
    Verdict.REFUSED: "asked again after its wait, up to `retry.max_refusals` refusals of its own: "
    "while others are let pass",
    Verdict.UNREACHABLE: "asked again once the API can be reached",
    Verdict.ACCUSED: f"once an answer for another number bears it out, {_STOPS}; final if others "
    "are served",
    Verdict.PUT_OFF: f"final, with the reason `{TOO_LONG}`, if others are let pass; else "
    f"{_STOPS} (after a 5xx its endpoint alone is given up)",
}
_LOOKUPS = """\
## Outcomes of a lookup

A lookup is one number at one endpoint. Everything but `success` leaves the signal unknown, which is
never "safe". **Again** says whether `batch-screen retry` may bring another outcome
(`retry_can_help` in errors)."""
_ANSWERS = """\
## What an answer becomes

The HTTP status comes first. An attempt that is asked again within the run has no outcome yet; when
its bound is reached, the outcome is the one named here."""
_RULES = """\
## Rules by which a row is accepted

The column `rule` holds one of these, and after it, each behind a `+`, what had to be undone:
`national+extension_dropped`."""
_REJECTS = """\
## Reasons for which a row is rejected

A rejected row never reaches the network. Its `reason` and `remedy` stand in errors."""
_DAMAGE = """\
## Damage that `check` finds

A row may be damaged and accepted all the same."""


def outcomes_page() -> str:
    """The page: lookups first, then answers, then rows."""
    return page(
        "Outcomes, rules and reasons",
        _LOOKUPS,
        table(
            ("Outcome", "Means", "What to do", "Again"),
            [
                (code(kind), MEANING[kind], REMEDY.get(kind, ""), _AGAIN[kind in RETRY_CAN_HELP])
                for kind in OutcomeKind
            ],
        ),
        _ANSWERS,
        table(("Answer", "Outcome", "What happens"), [(n, *fate(a)) for n, a in answers()]),
        _RULES,
        table(("Rule", "Means"), [(code(rule), RULES[rule]) for rule in Rule]),
        "What had to be undone or left out:",
        table(("Behind a +", "Means"), [(code(each), RULES[each]) for each in Modifier]),
        _REJECTS,
        table(("Reason", "What to do"), [(code(each), REJECTS[each]) for each in RejectReason]),
        _DAMAGE,
        table(("Damage", "A cell"), [(code(kind), text) for kind, text in DAMAGE.items()]),
    )


def answers() -> list[tuple[str, Answer]]:
    """Examples of every kind of answer, in words and as the client parses it."""
    body = b'{"swapped": true}'
    statuses = {
        "200 as documented": (200, body),
        "200, anything else": (200, b'{"swapped": "true"}'),
        "200, cut off": (200, body[:-1]),
        "3xx, never followed": (301, b""),
        **{str(status): (status, b"") for status in (400, 401, 402, 403, 404, 408, 422, 429)},
        "429 with the code QUOTA_EXCEEDED": (429, b'{"code": "QUOTA_EXCEEDED"}'),
        "any other 4xx": (418, b""),
        "501": (501, b""),
        "any other 5xx": (503, b""),
    }
    read = [(name, read_answer(_LOOKUP, s, {}, content)) for name, (s, content) in statuses.items()]
    busy = structs.replace(dict(read)["any other 5xx"], retry_after_seconds=math.inf)
    refused = structs.replace(busy, kind=OutcomeKind.RATE_LIMITED, http_status=429)
    return [
        *read,
        ("408, 429 with a Retry-After above `pacing.max_retry_after_seconds`", refused),
        ("any other 5xx with such a Retry-After", busy),
        ("none in time", Answer(kind=OutcomeKind.TIMEOUT)),
        ("the connection was lost", Answer(kind=OutcomeKind.UNREACHABLE)),
        (
            "no connection could be made",
            Answer(kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT),
        ),
    ]


def fate(answer: Answer) -> tuple[str, str]:
    """The outcome after the first such answer, and what happens next, by the engine's policy."""
    settings = Settings()
    verdict = judge(
        answer,
        failed_attempts=1,
        own_refusals=1,
        retry=settings.retry,
        longest_wait_seconds=settings.pacing.max_retry_after_seconds,
    )
    error = account_error(answer)
    exit_code = Stopped.default_exit_code if error is None else error.exit_code
    return code(answer.kind), _FATES[verdict].format(int(exit_code))
