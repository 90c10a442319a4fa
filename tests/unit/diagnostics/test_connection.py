from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from batch_screen.config.sections import Api
from batch_screen.diagnostics.connection import connection_findings
from batch_screen.diagnostics.findings import Finding, Health

from .servers import answering, proxy, server

NOW = datetime.now(UTC)
SECRET = "s3cret-pr0xy"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def context(
    authority: trustme.CA, name: str = "localhost", first: int = -9, last: int = 365
) -> ssl.SSLContext:
    """What a server with a certificate of the authority uses, valid between two days from now."""
    issued = authority.issue_cert(
        name, not_before=NOW + timedelta(days=first), not_after=NOW + timedelta(days=last)
    )
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(made)
    return made


def findings(base_url: str, **api: object) -> dict[str, Finding]:
    settings = Api(base_url=base_url, timeout_seconds=5, connect_timeout_seconds=5, **api)  # type: ignore[arg-type]
    return {finding.name: finding for finding in connection_findings(settings)}


def test_all_is_well(authority: trustme.CA, ca_file: str) -> None:
    with server(answering(), context(authority)) as (port, asked):
        found = findings(f"https://localhost:{port}/v1", ca_file=ca_file)
    assert [*found] == ["dns", "connection", "tls", "clock"]
    assert {finding.health for finding in found.values()} == {Health.OK}
    assert "for 364 more days" in found["tls"].seen
    [head] = asked
    assert head.startswith(b"HEAD /v1 HTTP/1.1\r\n")
    assert b"apikey" not in head.lower()  # no key and no number is sent


@pytest.mark.parametrize(
    ("certificate", "seen", "remedy"),
    [
        (("localhost", -9, -1), "expired", "renew it"),
        (("localhost", 1, 9), "not yet valid", "check this machine's date"),
        (("other.example", -9, 9), "ostname mismatch", "check the host in api.base_url"),
    ],
)
def test_certificates_that_do_not_verify(
    authority: trustme.CA, ca_file: str, certificate: tuple[str, int, int], seen: str, remedy: str
) -> None:
    with server(answering(), context(authority, *certificate)) as (port, asked):
        found = findings(f"https://localhost:{port}/v1", ca_file=ca_file)
    assert (found["tls"].health, found["tls"].exit_code) == (Health.FAILED, 69)
    assert seen in found["tls"].seen
    assert remedy in found["tls"].remedy
    assert found["clock"].health is Health.NOT_CHECKED
    assert asked == []


def test_a_certificate_of_nobody_who_is_trusted(authority: trustme.CA) -> None:
    with server(answering(), context(authority)) as (port, _):
        found = findings(f"https://localhost:{port}/v1")
    assert found["tls"].health is Health.FAILED
    assert "name its certificate in api.ca_file" in found["tls"].remedy


def test_a_certificate_that_ends_soon(authority: trustme.CA, ca_file: str) -> None:
    with server(answering(), context(authority, last=5)) as (port, _):
        found = findings(f"https://localhost:{port}/v1", ca_file=ca_file)
    assert (found["tls"].health, found["clock"].health) == (Health.WARNING, Health.OK)


def test_a_ca_file_that_holds_none(tmp_path: Path, authority: trustme.CA) -> None:
    with server(answering(), context(authority)) as (port, _):
        found = findings(f"https://localhost:{port}/v1", ca_file=str(tmp_path / "no.pem"))
    assert (found["tls"].health, found["tls"].exit_code) == (Health.FAILED, 2)
    assert found["tls"].remedy == "name a PEM file"


@pytest.mark.parametrize(
    ("skew_seconds", "health", "words"),
    [
        (0, Health.OK, "within 5 s"),
        (3, Health.OK, "within 5 s"),
        (3_600, Health.WARNING, "s behind the server's"),
        (-3_600, Health.WARNING, "s ahead of the server's"),
    ],
)
def test_the_clock(skew_seconds: float, health: Health, words: str) -> None:
    with server(answering(skew_seconds=skew_seconds)) as (port, _):
        found = findings(f"http://127.0.0.1:{port}/v1")
    assert found["clock"].health is health
    assert words in found["clock"].seen
    assert found["tls"].seen == "not needed: http to this machine"


@pytest.mark.parametrize(
    ("answer", "step", "health"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "clock", Health.NOT_CHECKED),
        (b"HTTP/1.1 404 Not Found\r\nDate: soon\r\n\r\n", "clock", Health.NOT_CHECKED),
        (b"220 mail.example ESMTP\r\n\r\n", "clock", Health.FAILED),
        (b"", "clock", Health.FAILED),
        (b"x" * 100_000, "clock", Health.FAILED),
        (answering("301 Moved"), "redirect", Health.WARNING),
    ],
    ids=["no-date", "no-such-date", "no-http", "nothing", "endless", "redirect"],
)
def test_answers_of_other_servers(answer: bytes, step: str, health: Health) -> None:
    with server(answer) as (port, asked):
        found = findings(f"http://127.0.0.1:{port}/v1")
    assert found[step].health is health
    assert len(set(asked)) == 1  # nothing is followed


def test_who_is_not_there() -> None:
    with server(b"") as (port, _):
        pass
    found = findings(f"http://127.0.0.1:{port}/v1")
    assert (found["connection"].health, found["connection"].exit_code) == (Health.FAILED, 69)
    assert "Connection refused" in found["connection"].seen
    assert found["tls"].health is Health.NOT_CHECKED


def test_no_such_name() -> None:
    found = findings("https://no-such-host.invalid/v1")
    assert (found["dns"].health, found["dns"].exit_code) == (Health.FAILED, 69)
    assert "this machine's DNS" in found["dns"].remedy
    assert [f.health for f in found.values()][1:] == [Health.NOT_CHECKED] * 3


def test_plain_http_where_tls_is_expected() -> None:
    with server(answering()) as (port, _):
        found = findings(f"https://localhost:{port}/v1")
    assert found["tls"].health is Health.FAILED


@pytest.mark.parametrize(
    ("status", "health", "words"),
    [
        ("200 OK", Health.OK, "lets through"),
        ("407 Proxy Authentication Required", Health.FAILED, "status 407"),
        ("502 Bad Gateway", Health.FAILED, "status 502"),
    ],
)
def test_the_way_through_a_proxy(
    authority: trustme.CA, ca_file: str, status: str, health: Health, words: str
) -> None:
    with (
        server(answering(), context(authority)) as (port, asked),
        proxy(port, status) as (proxy_port, told),
    ):
        address = f"http://me:{SECRET}@127.0.0.1:{proxy_port}"
        found = findings(f"https://localhost:{port}/v1", ca_file=ca_file, proxy=address)
    assert found["proxy"].health is health
    assert words in found["proxy"].seen
    assert told[0].startswith(f"CONNECT localhost:{port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " in told[0]
    assert (found["tls"].health is Health.OK) == (health is Health.OK) == bool(asked)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"220 mail.example ESMTP\r\n\r\n", "it is no HTTP"), (b"", "it closes the connection")],
)
def test_what_is_no_proxy(answer: bytes, why: str) -> None:
    with server(answer) as (port, _):
        found = findings("https://localhost:1/v1", proxy=f"http://127.0.0.1:{port}")
    assert found["proxy"].seen == f"127.0.0.1 port {port} does not answer as a proxy: {why}"
    assert found["tls"].health is Health.NOT_CHECKED


def test_a_server_that_waits_for_something_else_than_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        base_url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        waiting = Api(base_url=base_url, timeout_seconds=0.3, connect_timeout_seconds=0.2)
        found = {finding.name: finding for finding in connection_findings(waiting)}
    assert (found["connection"].health, found["tls"].health) == (Health.OK, Health.FAILED)
    assert "no answer in time" in found["tls"].seen
