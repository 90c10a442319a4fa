"""Lists from buckets and https are the lists they are on disk, and runs are uploaded whole."""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme

from batch_screen.sandbox.run import SandboxThread
from tests.buckets import Bucket, answer, scripted
from tests.thoroughness import in_full

from .conftest import NUMBERS, Desk, new_sandbox, run_command, until

LISTS = {
    "lists/day=1/part.csv": "phone\n" + "\n".join(NUMBERS[:3]),
    "lists/day=2/part.csv": "phone\n" + "\n".join(NUMBERS[2:5]),
}
SECRET = "signature-that-nobody-may-see"


@pytest.fixture(scope="module")
def api() -> Iterator[SandboxThread]:
    with new_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def cloud(bucket: Bucket) -> dict[str, str]:
    """What the commands need to find the bucket, which has the lists."""
    for key, content in LISTS.items():
        bucket.put(key, content.encode())
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture
def desk(tmp_path: Path, api: SandboxThread, cloud: dict[str, str]) -> Desk:
    for key, content in LISTS.items():
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / key).write_text(content, "utf-8")
    return Desk(tmp_path, api.url, environment=cloud, options=("--keep-columns", "day"))


def left(desk: Desk) -> list[str]:
    return [path.name for path in (desk.out / ".state").glob("*.input*")]


def test_a_list_is_the_same_from_bucket_and_disk(
    desk: Desk, bucket: Bucket, api: SandboxThread
) -> None:
    here, there = f"{desk.folder}/lists/**/*.csv", f"{bucket.address}/lists/**/*.csv"
    for command in ("check", "plan"):
        said = [
            run_command(command, lists, "--json", environment=desk.environment)
            for lists in (here, there)
        ]
        assert [each.code for each in said] == [0, 0], said[1].err
        assert said[0].out == said[1].out
    assert desk.run(there).code == 0
    from_bucket = desk.latest
    assert from_bucket.frame("results")["source_file"].unique().sort().to_list() == [
        "day=1/part.csv",
        "day=2/part.csv",
    ]
    assert left(desk) == []
    asked = api.statistics()["requests"]
    assert desk.run(here).code == 0
    assert api.statistics()["requests"] == asked
    assert desk.latest.run_id == from_bucket.run_id


def test_an_empty_object_is_an_empty_list(cloud: dict[str, str], bucket: Bucket) -> None:
    bucket.put("empty.csv", b"")
    done = run_command("check", f"{bucket.address}/empty.csv", environment=cloud)
    assert done.code == 65
    assert done.error == "Error: empty.csv: it is empty; export the list again"


def test_a_list_that_changed_since_is_another(desk: Desk, bucket: Bucket) -> None:
    there = f"{bucket.address}/lists/day=1/part.csv"
    stopped = desk.run(there, "--max-requests", 1)
    assert stopped.code == 4
    bucket.put("lists/day=1/part.csv", f"phone\n{NUMBERS[9]}".encode())
    done = desk.run(there)
    assert done.code == 2
    assert f"was begun when {there} had other content" in done.error


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=in_full), signal.SIGTERM, signal.SIGKILL]
)
def test_nothing_of_a_list_is_left_where_its_copying_ends(
    desk: Desk, cloud: dict[str, str], how: signal.Signals
) -> None:
    ended = threading.Event()

    def stall(request: BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD" or "list-type" in request.path:
            answer(request, 200 if "part.csv" in request.path else 404, b"", ETag='"x"')
            return
        request.send_response(200)
        request.send_header("Content-Length", "10000000")
        request.end_headers()
        request.wfile.write(b"phone\n" + b"x" * 5_000_000)
        request.wfile.flush()
        ended.wait(30)

    with scripted(stall) as url:
        desk.environment = {**cloud, "AWS_ENDPOINT_URL": url}
        with desk.started("s3://bucket/part.csv") as going:
            copies = (desk.out / ".state").glob
            until(lambda: any(p.stat().st_size for p in copies("remote-*.input/0/part.csv")))
            done = going.end(how)
        ended.set()
    assert done.code == {signal.SIGKILL: -9}.get(how, 128 + how)
    assert not (desk.out / ".state" / "runs").exists()
    if how is signal.SIGKILL:
        assert len(left(desk)) == 1
        desk.environment = cloud
        assert desk.run(f"{desk.folder}/lists/day=1").code == 0
    assert left(desk) == []


@pytest.fixture
def over_tls(tmp_path: Path) -> Iterator[str]:
    """A server of the first list, whose certificate is of an authority in ``ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def respond(request: BaseHTTPRequestHandler) -> None:
        signed = request.path.endswith(f"?X-Date=20261128T120000Z&X-Signature={SECRET}")
        content = LISTS["lists/day=1/part.csv"].encode()
        answer(request, *((200, content) if signed else (403, SECRET.encode())))

    with scripted(respond, context) as url:
        yield url.replace("http://", "https://")


def test_a_signature_lies_nowhere(desk: Desk, over_tls: str, tmp_path: Path) -> None:
    address = f"{over_tls}/lists/part.csv?X-Date=20261128T120000Z&X-Signature={SECRET}"
    desk.options = ("--max-requests", "2")
    untrusted = desk.run(address)
    assert untrusted.code == 2
    assert "part.csv: its certificate is not trusted; set SSL_CERT_FILE" in untrusted.error
    desk.environment = {**desk.environment, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    refused = desk.run(f"{address}-of-yesterday")
    assert refused.code == 66
    assert "part.csv: access is denied (HTTP 403)" in refused.error
    stopped = desk.run(address)
    assert stopped.code == 4
    status = run_command("status", "--out", desk.out)
    assert f"{over_tls}/lists/part.csv" in status.out
    desk.options = ()
    done = desk.run(address)
    assert done.code == 0
    assert desk.latest.frame("results")["source_file"].to_list() == ["part.csv"] * 3
    said = [each.out + each.err for each in (untrusted, refused, stopped, status, done)]
    files = [path.read_bytes() for path in desk.out.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in said)
    assert not any(SECRET.encode() in content for content in files)
    assert any(b"/lists/part.csv" in content for content in files)


def test_what_is_uploaded_is_read_back(desk: Desk, bucket: Bucket) -> None:
    assert desk.run(f"{desk.folder}/lists/**/*.csv").code == 0
    to = f"{bucket.address}/screened"
    sent = run_command("upload", desk.out, "--to", to, environment=desk.environment)
    assert sent.code == 0, sent.err
    run_id = desk.latest.run_id
    assert sent.out.startswith(f"run {run_id} · ")
    assert f"{to} holds whole numbers now: who may read them is for the bucket to say" in sent.out
    assert not [key for key in bucket.keys if ".state" in key]
    again = run_command("upload", desk.out, "--to", to, "--json", environment=desk.environment)
    assert json.loads(again.out)["sent"] == 0
    valid = run_command("validate", to, environment=desk.environment)
    assert valid.code == 0, valid.out
    assert valid.out.startswith(f"run {run_id} in {to} · whole\n")
    desk.options = ()  # other kept columns: the same run, written anew under other names
    assert desk.run(f"{desk.folder}/lists/**/*.csv").code == 0
    assert desk.latest.run_id == run_id
    anew = run_command("upload", desk.out, "--to", to, "--json", environment=desk.environment)
    assert json.loads(anew.out)["removed"] == 1
    assert run_command("validate", to, environment=desk.environment).code == 0
    bucket.delete(f"screened/runs/{run_id}/summary.json")
    assert run_command("validate", to, environment=desk.environment).code == 65


def test_the_doctor_says_what_is_copied(desk: Desk, bucket: Bucket) -> None:
    done = run_command(
        *desk.arguments(
            "--sandbox", "--json", f"{bucket.address}/lists/**/*.csv", command="doctor"
        ),
        environment=desk.environment,
    )
    assert done.code == 0, done.out
    seen = {finding["name"]: finding["seen"] for finding in json.loads(done.out)["findings"]}
    size = sum(len(content) for content in LISTS.values())
    assert seen["input"] == f"2 files elsewhere, {size} bytes, which a run copies first"
    assert "GiB needed for a copy of the list alone" in seen["disk of output"]


@in_full
def test_rejected_cells_are_read_from_the_bucket_again(desk: Desk, bucket: Bucket) -> None:
    desk.options = ()
    bucket.put("bad.csv", f"phone\n{NUMBERS[0]}\n0207 call me\n".encode())
    assert desk.run(f"{bucket.address}/bad.csv").code == 0
    command = ("export", desk.out, "--rejected", "--to", desk.folder / "repair.csv")
    done = run_command(*command, environment=desk.environment)
    assert done.code == 0, done.err
    assert "0207 call me" in (desk.folder / "repair.csv").read_text("utf-8")
    bucket.delete("bad.csv")
    done = run_command(*command, environment=desk.environment)
    assert "cells are masked and without your other columns: " in done.out
    assert f"{bucket.address}/bad.csv: there is no such object" in done.out
    assert "0207 call me" not in (desk.folder / "repair.csv").read_text("utf-8")


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=in_full), signal.SIGTERM])
def test_an_upload_ends_at_once(desk: Desk, cloud: dict[str, str], how: signal.Signals) -> None:
    assert desk.run(f"{desk.folder}/lists/**/*.csv").code == 0
    ended, asked = threading.Event(), threading.Event()

    def stall(request: BaseHTTPRequestHandler) -> None:
        if request.command != "PUT":
            answer(request, 404)
            return
        asked.set()
        ended.wait(30)

    with scripted(stall) as url:
        desk.environment = {**cloud, "AWS_ENDPOINT_URL": url}
        with desk.begun("upload", desk.out, "--to", "s3://bucket") as going:
            assert asked.wait(20)
            done = going.end(how)
        ended.set()
    assert done.code == 128 + how
    assert "Traceback" not in done.err
