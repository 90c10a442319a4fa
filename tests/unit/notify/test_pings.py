from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from batch_screen.config.sections import Pings
from batch_screen.notify.pings import Caller

from .ends import RUN_ID, complete, failed
from .listener import Listener, listening

SECRET = "5up3r-s3cret"


def pings(listener: Listener, **changes: Any) -> Pings:
    urls = {
        f"{name}_url": listener.url(f"/{name}/{SECRET}?k={SECRET}")
        for name in ("start", "finish", "failure", "webhook")
    }
    return Pings(**{**urls, "timeout_seconds": 2, **changes})


def test_a_start_that_ends_well() -> None:
    with listening() as listener:
        caller = Caller(pings(listener))
        assert caller.begun() == []
        assert caller.ended(complete()) == []
    start, finish, webhook = listener.calls
    assert [each.split("/")[1] for each in listener.paths] == ["start", "finish", "webhook"]
    assert {each.method for each in listener.calls} == {"POST"}
    assert start.path.endswith(f"?k={SECRET}")
    assert finish.body.decode().endswith(f": exit code 0, complete, run {RUN_ID}\n")
    assert webhook.kind == "application/json"
    assert json.loads(webhook.body)["rows"]["read"] == 1_500


@pytest.mark.parametrize(("closing", "code"), [(failed(), 77), (complete(exit_code=3), 3)])
def test_any_other_exit_code_is_a_failure(closing: Any, code: int) -> None:
    with listening() as listener:
        assert Caller(pings(listener)).ended(closing) == []
    failure, webhook = listener.calls
    assert failure.path.startswith("/failure/")
    assert f"exit code {code}, {closing.status}" in failure.body.decode()
    assert json.loads(webhook.body)["exit_code"] == code


def test_get_has_no_body_and_the_webhook_is_posted_all_the_same() -> None:
    with listening() as listener:
        caller = Caller(pings(listener, method="get"))
        caller.begun()
        caller.ended(complete())
    assert [(c.method, bool(c.body)) for c in listener.calls] == [
        ("GET", False),
        ("GET", False),
        ("POST", True),
    ]


def test_nobody_is_called_without_an_address() -> None:
    caller = Caller(Pings())
    assert caller.begun() == caller.ended(complete()) == []


@pytest.mark.parametrize("status", [301, 307, 404, 500])
def test_a_bad_answer_is_one_warning_and_no_redirect_is_followed(status: int) -> None:
    with listening(status=status) as listener:
        [warning] = Caller(pings(listener)).begun()
        assert len(listener.calls) == 1
    warned = "the start call to 127.0.0.1 failed: it answered with status"
    assert warning == f"{warned} {status}; the run goes on"


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    with listening(wait_seconds=3.0) as listener:
        began = time.monotonic()
        [warning] = Caller(pings(listener, timeout_seconds=0.1)).begun()
        assert time.monotonic() - began < 2.5
    assert "failed: " in warning
    assert SECRET not in warning


def test_nobody_there_is_one_warning() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    [warning] = Caller(Pings(finish_url=f"http://127.0.0.1:{port}/{SECRET}")).ended(complete())
    assert warning == "the finish call to 127.0.0.1 failed: Connection refused; the run goes on"


def test_no_plain_server_is_taken_for_a_private_one() -> None:
    with listening() as listener:
        url = f"https://127.0.0.1:{listener.port}/{SECRET}"
        [warning] = Caller(Pings(start_url=url, timeout_seconds=2)).begun()
        assert listener.calls == []
        [other] = Caller(Pings(start_url=url, timeout_seconds=2), ca_file="/no/such.pem").begun()
    assert SECRET not in warning
    assert "No such file or directory" in other


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with listening() as listener:
        assert Caller(pings(listener)).begun() == []
