from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batch_screen.api.allowance import read_allowance
from batch_screen.model import Allowance

NOW = 1_800_000_000.0


def read(**headers: str) -> Allowance | None:
    written = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_allowance(CIMultiDict(written), lambda: NOW)


def allowed(
    limit: float | None = None, remaining: int | None = None, reset: float | None = None
) -> Allowance:
    return Allowance(limit_per_second=limit, remaining=remaining, reset_seconds=reset)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"RateLimit_Remaining": "5", "RateLimit_Reset": "30"}, allowed(None, 5, 30)),
        ({"x_ratelimit_remaining": "5", "x_ratelimit_reset": "30"}, allowed(None, 5, 30)),
        ({"RateLimit_Limit": "100, 100;w=60, 1000;w=3600"}, allowed(100 / 60)),
        ({"RateLimit_Policy": '"a";q=100;w=10, "b";q=30;w=60'}, allowed(0.5)),
        ({"RateLimit_Limit": "100, 100;w=60"}, allowed(100 / 60)),
        ({"RateLimit_Limit": "100"}, None),  # over which window, nobody knows
        ({"RateLimit_Policy": '"default";q=100;w=10'}, allowed(10)),
        ({"RateLimit": '"default";r=50;t=30'}, allowed(None, 50, 30)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, allowed(None, 50, 5)),
        ({"RateLimit": '"burst";r=0;t=5, "day";r=900;t=80000'}, allowed(None, 0, 5)),
        ({"X_RateLimit_Limit_Second": "20"}, allowed(20)),
        ({"X_RateLimit_Limit_Minute": "600", "X_RateLimit_Limit_Second": "20"}, allowed(10)),
        ({"X_RateLimit_Limit_Hour": "600"}, None),  # a quota
        ({"RateLimit_Policy": '"day";q=1000;w=86400'}, None),
        ({"X_RateLimit_Reset": f"{NOW + 30:.0f}"}, allowed(None, None, 30)),
        ({"X_RateLimit_Reset": f"{(NOW + 30) * 1000:.0f}"}, allowed(None, None, 30)),
        ({"X_RateLimit_Reset": f"{NOW - 30:.0f}"}, allowed(None, None, 0)),
        ({"RateLimit_Remaining": "0"}, allowed(None, 0)),
        ({"RateLimit_Remaining": "-5"}, None),
        ({"RateLimit_Remaining": "many", "RateLimit_Reset": "soon"}, None),
        ({"RateLimit_Policy": '"default";q=100;w=0'}, None),
        ({"RateLimit_Limit": "٥;w=١"}, None),
        ({"RateLimit_Policy": '"a";q=1;w=900'}, allowed(1 / 900)),
        ({"RateLimit_Policy": '"a";q=0.9;w=900'}, None),  # less than one request in a window
        ({"RateLimit_Policy": '"a";q=0.9;w=900, "b";q=5;w=1'}, allowed(5)),
        ({"X_RateLimit_Limit_Second": "0.001"}, None),
        ({"X_RateLimit_Limit_Second": "0"}, None),
        # The reset of a quota, which would hold the limit of a second for so long.
        ({"X_RateLimit_Limit_Second": "2", "X_RateLimit_Reset": "900"}, allowed(2, None, 900)),
        ({"X_RateLimit_Limit_Second": "2", "X_RateLimit_Reset": "901"}, allowed(2)),
        ({"X_RateLimit_Limit_Second": "2", "X_RateLimit_Reset": "999999999"}, allowed(2)),
        ({"X_RateLimit_Remaining": "5", "X_RateLimit_Reset": "86400"}, allowed(None, 5, 86_400)),
        # Cut off, it would say 10.
        ({"RateLimit_Policy": '"' + "x" * 1_000 + '";q=1000;w=1'}, allowed(1000)),
        ({"RateLimit_Policy": '"' + "x" * 1_013 + '";q=1000;w=1'}, None),
        ({"Content_Type": "application/json"}, None),
    ],
)
def test_what_headers_say(headers: dict[str, str], expected: Allowance | None) -> None:
    assert read(**headers) == expected


def test_a_header_may_be_spread_over_lines() -> None:
    headers = CIMultiDict(
        [
            ("RateLimit-Policy", '"a";q=100;w=10'),
            ("ratelimit-policy", '"b";q=30;w=60'),
            ("RateLimit", '"a";r=50;t=5'),
            ("RateLimit", '"b";r=2;t=40'),
        ]
    )
    assert read_allowance(headers, lambda: NOW) == allowed(0.5, 2, 40)


@given(
    st.dictionaries(
        st.sampled_from(
            ["RateLimit", "RateLimit-Policy"]
            + [
                p + n
                for p in ("RateLimit-", "X-RateLimit-")
                for n in ("Limit", "Remaining", "Reset")
            ]
            + ["X-RateLimit-Limit-Second"]
        ),
        st.one_of(
            st.text(max_size=40),
            st.from_regex(r'("x";)?[a-z]{0,9}=?[0-9]{0,20}(;w=[0-9.]{0,9})?', fullmatch=True),
            st.integers().map(str),
        ),
    )
)
def test_nonsense_never_fails_and_never_makes_a_negative(headers: dict[str, str]) -> None:
    found = read_allowance(CIMultiDict(headers), lambda: NOW)
    if found is not None:
        said = (found.limit_per_second, found.remaining, found.reset_seconds)
        assert any(value is not None for value in said)
        assert all(value is None or value >= 0 for value in said)
        assert found.limit_per_second is None or found.limit_per_second > 0
