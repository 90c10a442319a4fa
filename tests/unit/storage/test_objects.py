from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from batch_screen.errors import BatchScreenError, ConfigurationError, ExitCode, OutputError
from batch_screen.storage import objects
from batch_screen.storage.objects import ObjectStore, StoredObject
from tests.buckets import Bucket, Faults, answer, faulty, scripted, use

DIGEST = "5e" * 32


def store_of(bucket: Bucket) -> ObjectStore:
    return ObjectStore(bucket.address, bucket.address)


def content_of(store: ObjectStore, key: str, etag: str | None = None) -> bytes:
    size, chunks = store.get(key, etag)
    content = b"".join(chunks)
    assert len(content) == size
    return content


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up after one more try, and after a second without a byte."""
    monkeypatch.setattr(objects, "_RETRIES", {**objects._RETRIES, "max_retries": 1})
    monkeypatch.setattr(objects, "_CLIENT", {**objects._CLIENT, "read_timeout": "1s"})
    monkeypatch.setattr(objects, "_SMALL_TIMEOUT", "1s")


def test_what_was_put_is_described_listed_and_read(bucket: Bucket, tmp_path: Path) -> None:
    store, large = store_of(bucket), os.urandom(6 << 20)  # in two parts
    (tmp_path / "large").write_bytes(large)
    etag = store.put("lists/large.bin", tmp_path / "large", DIGEST)
    store.put("lists/ä [1]#%20?.csv", b"small", DIGEST)
    assert store.head("lists/large.bin") == StoredObject(
        "lists/large.bin", len(large), etag, DIGEST
    )
    assert content_of(store, "lists/large.bin", etag) == large
    assert content_of(store, "lists/ä [1]#%20?.csv") == b"small"
    assert [found.key for found in store.keys("lists")] == bucket.keys


def test_a_listing_is_of_whole_folders_and_has_none_of_them(bucket: Bucket) -> None:
    for key in ("lists/", "lists/a.csv", "lists/in/b.csv", "lists-of-others/c.csv"):
        bucket.put(key, b"")
    store = store_of(bucket)
    assert [found.key for found in store.keys("lists")] == ["lists/a.csv", "lists/in/b.csv"]
    assert [*store.keys("list")] == []
    assert "lists-of-others/c.csv" in [found.key for found in store.keys("")]


def test_an_empty_object_is_no_cut_one(bucket: Bucket) -> None:
    bucket.put("empty.csv", b"")
    assert content_of(store_of(bucket), "empty.csv") == b""


def test_what_is_not_there_has_no_description_and_can_be_removed(bucket: Bucket) -> None:
    store = store_of(bucket)
    assert store.head("none") is None
    store.put("once", b"x", DIGEST)
    store.delete("once")
    store.delete("once")
    assert bucket.keys == []


def test_another_version_is_refused(bucket: Bucket) -> None:
    store = store_of(bucket)
    etag = store.put("list.csv", b"first", DIGEST)
    bucket.put("list.csv", b"other")
    with pytest.raises(BatchScreenError) as error:
        content_of(store, "list.csv", etag)
    assert str(error.value) == (
        f"{bucket.address}/list.csv: it changed while it was read; start again when nothing writes "
        "to it"
    )
    assert error.value.exit_code == ExitCode.CONTENT


def test_what_is_not_there_is_said_of_object_and_bucket(bucket: Bucket) -> None:
    none = ObjectStore("s3://no-such-bucket", "s3://no-such-bucket")
    for ask in (
        lambda: store_of(bucket).get("a.csv"),
        lambda: none.get("a.csv"),
        lambda: [*none.keys("")],
    ):
        with pytest.raises(BatchScreenError, match="no such bucket or object; check") as error:
            ask()
        assert error.value.exit_code == ExitCode.NO_INPUT
    writing = ObjectStore("s3://no-such-bucket", "s3://no-such-bucket", OutputError)
    with pytest.raises(OutputError, match="no such bucket or object; check") as failed:
        writing.put("a", b"", DIGEST)
    assert failed.value.exit_code == ExitCode.CANNOT_WRITE


SECRET = "signature-that-nobody-may-see"


def cut(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"x" * 10)
    request.close_connection = True


def without_size(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.close_connection = True


def stalled(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"x" * 10)
    request.wfile.flush()
    time.sleep(3)


def with_status(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: answer(request, status, SECRET.encode())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("respond", "what", "exit_code"),
    [
        (with_status(401), "access is denied (HTTP 401); check the cloud's own", 66),
        (with_status(403), "access is denied (HTTP 403); check the cloud's own", 66),
        (with_status(404), "there is no such bucket or object; check the address", 66),
        (with_status(301), "it lies in another region; set AWS_REGION", 2),
        (with_status(429), "it answers with HTTP 429; start again", 69),
        (with_status(503), "it answers with HTTP 503; start again", 69),
        (cut, "the connection broke off; start again", 69),
        (stalled, "there was no answer in time; start again", 69),
        (without_size, "the server does not say its size; download it", 2),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_what_a_server_does_is_said_in_one_line_of_our_own(
    monkeypatch: pytest.MonkeyPatch,
    respond: Callable[[BaseHTTPRequestHandler], None],
    what: str,
    exit_code: int,
) -> None:
    with scripted(respond) as url:
        use(monkeypatch, url)
        store = ObjectStore("s3://bucket", "s3://bucket")
        with pytest.raises(BatchScreenError) as error:
            content_of(store, "lists/+491511234567.csv")
    assert str(error.value).startswith(f"s3://bucket/lists/+4915••••••67.csv: {what}")
    assert error.value.exit_code == exit_code
    assert error.value.__cause__ is None
    assert SECRET not in str(error.value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://127.0.0.1:1", "its server cannot be reached"),
        ("http://no-such-host.invalid", "its server's name cannot be looked up"),
    ],
)
def test_who_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, url: str, what: str) -> None:
    use(monkeypatch, url)
    for raising in (OutputError, objects.InputError):
        with pytest.raises(raising, match=what) as error:
            ObjectStore("s3://bucket", "s3://bucket", raising).head("a")
        assert error.value.exit_code == ExitCode.UNREACHABLE


def test_plain_http_needs_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ConfigurationError, match="AWS_ALLOW_HTTP=true"):
        ObjectStore("s3://bucket", "s3://bucket").head("a")


def test_a_key_with_an_empty_part_is_none() -> None:
    with pytest.raises(ConfigurationError, match="an empty or dotted part of a key; rename"):
        ObjectStore("s3://bucket", "s3://bucket").head("lists//a.csv")


def test_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="set AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectStore("az://container", "az://container")


def test_a_profile_is_boto3s(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket.put("a.csv", b"x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        "[nightly]\naws_access_key_id = of-the-profile\naws_secret_access_key = its-secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "nightly")
    assert content_of(store_of(bucket), "a.csv") == b"x"
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(BatchScreenError, match="no credentials for it were found"):
        store_of(bucket)


def test_without_the_extra_the_line_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'batch-screen\[cloud\]'"):
        ObjectStore("s3://bucket", "s3://bucket")


@pytest.fixture
def interrupted() -> Iterator[None]:
    """Raises from a signal's handler after half a second, in whatever the main thread does."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupted")
def test_a_signal_ends_the_wait_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        waited.wait(20)

    with scripted(wait) as url:
        use(monkeypatch, url)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ObjectStore("s3://bucket", "s3://bucket").head("a")
        assert time.monotonic() - began < 15
        waited.set()


@pytest.mark.parametrize("root", ["az://container", "gs://bucket"])
def test_digests_and_etags_go_by_the_headers_of_each_cloud(
    monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    kept: dict[str, tuple[bytes, dict[str, str]]] = {}
    seen: list[tuple[str, str | None]] = []

    def respond(request: BaseHTTPRequestHandler) -> None:
        path, headers = request.path.partition("?")[0], request.headers
        seen.append((request.command, headers.get("If-Match")))
        if request.command == "PUT":
            body = request.rfile.read(int(headers["Content-Length"]))
            notes = {name: value for name, value in headers.items() if "-meta-" in name.lower()}
            kept[path] = body, notes
            answer(request, 201, ETag='"first"')
        elif path not in kept:
            answer(request, 404)
        else:
            body, notes = kept[path]
            dated = {**notes, "ETag": '"first"', "Last_Modified": "Sat, 28 Nov 2026 00:00:00 GMT"}
            answer(request, 200, body, **dated)

    with scripted(respond) as url:
        account = {"gcs_base_url": url, "disable_oauth": True, "client_email": ""}
        for name, value in {
            "AWS_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"key").decode(),
            "AZURE_STORAGE_ENDPOINT": url,
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(
                {**account, "private_key": "", "private_key_id": ""}
            ),
        }.items():
            monkeypatch.setenv(name, value)
        store = ObjectStore(root, root)
        assert store.put("a/b.csv", b"hello", DIGEST) == '"first"'
        assert store.head("a/b.csv") == StoredObject("a/b.csv", 5, '"first"', DIGEST)
        assert store.head("none") is None
        assert content_of(store, "a/b.csv", '"first"') == b"hello"
    assert seen[-1] == ("GET", '"first"')


def test_an_object_is_created_once_whatever_the_line_does(
    bucket: Bucket, bucket_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(seed=7, refused=0.1, conflicting=0.2, dropped=0.3)
    with faulty(bucket_server, faults) as url:
        use(monkeypatch, url)
        store = store_of(bucket)
        for number in range(20):
            content = f"{number}".encode()
            assert store.put_new(f"k/{number}", content, DIGEST)
            for again in (content, b"other"):
                assert not store.put_new(f"k/{number}", again, DIGEST)
            assert bucket.get(f"k/{number}") == content
    assert min(faults.counts[name] for name in ("503", "409", "dropped")) > 0


def test_of_many_who_create_an_object_one_has_it(bucket: Bucket) -> None:
    store, won = store_of(bucket), list[str]()

    def create(name: str) -> None:
        if store.put_new("k", b"the same of all", DIGEST):
            won.append(name)

    racers = [threading.Thread(target=create, args=(f"racer-{n}",)) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(won) == 1
