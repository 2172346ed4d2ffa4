"""An address that a stranger wrote reaches no private machine and cannot hold this one up."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from overpaint import images
from overpaint.errors import UserError
from overpaint.net import fetch

PICTURE = io.BytesIO()
Image.new("RGB", (16, 16), "red").save(PICTURE, "PNG")
PNG = PICTURE.getvalue()
LIMIT = 100_000

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int = 200, body: bytes = PNG, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def drip(start: bytes, drops: bytes, stop: threading.Event) -> Answer:
    """Send `drops` again and again, one by one, often enough that no read ever times out."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        while not stop.wait(0.02):
            handler.wfile.write(drops)

    return send


class Server(ThreadingHTTPServer):
    """Serves what the test puts in `answers`, and remembers what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """The client hangs up on purpose in these tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        self.server.answers[self.path](self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def get(url: str, *, max_bytes: int = LIMIT, total_seconds: float = 20.0) -> bytes:
    """Fetch as the product does, but with this machine allowed."""
    with fetch._session(allow_loopback=True) as session:
        return fetch._fetch(url, session, max_bytes, total_seconds)


def refusal(url: str, **limits: float) -> str:
    with pytest.raises(UserError) as caught:
        get(url, **limits)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "localhost",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00::1]",
        "[ff02::1]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_private_addresses_are_refused(scheme: str, host: str) -> None:
    with pytest.raises(
        UserError, match="is not a public internet address; download the picture yourself"
    ):
        images.load_image(f"{scheme}://{host}:8000/cat.png")


def test_a_refusal_prints_nothing_of_its_own() -> None:
    """The filter logs what it refuses, which would reach stderr beside our one sentence."""
    program = (
        "from overpaint.errors import UserError\n"
        "from overpaint.images import load_image\n"
        "try: load_image('http://10.0.0.1/cat.png')\n"
        "except UserError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_name_that_resolves_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.1.2.3", 80))])
    with pytest.raises(UserError, match=r"innocent\.example/cat\.png: 10\.1\.2\.3 is not a public"):
        images.load_image("http://innocent.example/cat.png")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "gopher://x",
        "data:image/png;base64,AAAA",
        "FILE://localhost/x",
    ],
)
def test_only_http_and_https_are_fetched(url: str) -> None:
    with pytest.raises(UserError, match="only http and https ones"):
        images.load_image(url)


@pytest.mark.parametrize(
    "url", ["http://", "http:///x", "http://[::1", "http://a b/", "http://e.com:99999/"]
)
def test_malformed_addresses_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="it is not a valid address"):
        images.load_image(url)


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "//192.168.0.1/x",
        "http://[fd00::1]/",
        "http://2886729729/",
    ],
)
def test_redirects_to_private_addresses_are_refused(server: Server, location: str) -> None:
    server.answers["/"] = answer(302, Location=location)
    assert "is not a public internet address" in refusal(server.url + "/")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://example.com/cat.png"])
def test_redirects_to_other_schemes_are_refused(server: Server, location: str) -> None:
    server.answers["/"] = answer(302, Location=location)
    assert "neither http nor https" in refusal(server.url + "/")


def test_redirects_are_followed_without_reading_their_bodies(
    server: Server, stop: threading.Event
) -> None:
    endless = b"HTTP/1.0 302 Found\r\nLocation: /b\r\n\r\n"
    server.answers["/a"] = drip(endless, bytes(1000), stop)
    server.answers["/b"] = answer(301, Location="c.png")
    server.answers["/c.png"] = answer()
    assert get(server.url + "/a") == PNG
    assert server.asked == ["/a", "/b", "/c.png"]


def test_a_ring_of_redirects_ends(server: Server) -> None:
    server.answers["/"] = answer(302, Location="/")
    assert "redirects more than 5 times" in refusal(server.url + "/")
    assert len(server.asked) == fetch.MAX_REDIRECTS + 1


def test_a_declared_length_over_the_limit_is_refused_unread(
    server: Server, stop: threading.Event
) -> None:
    start = b"HTTP/1.0 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    server.answers["/"] = drip(start, b"\0", stop)
    assert "is larger than 0.0954 MiB" in refusal(server.url + "/")


def test_an_undeclared_length_over_the_limit_is_refused(
    server: Server, stop: threading.Event
) -> None:
    server.answers["/"] = drip(b"HTTP/1.0 200 OK\r\n\r\n", bytes(20_000), stop)
    assert "is larger than" in refusal(server.url + "/")


def test_a_compressed_answer_is_refused_unpacked(server: Server) -> None:
    server.answers["/"] = answer(body=gzip.compress(bytes(10**7)), Content_Encoding="gzip")
    assert "compresses its answer" in refusal(server.url + "/")


@pytest.mark.parametrize(
    ("start", "drops"),
    [
        (b"HTTP/1.0 200 OK\r\n", b"X"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"\0"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n", b"\0"),
        (b"", b"H"),
    ],
    ids=["headers", "body", "declared body", "status line"],
)
def test_a_server_that_drips_is_cut_off(
    server: Server, stop: threading.Event, start: bytes, drops: bytes
) -> None:
    """Every byte restarts the timeout of a read; only the deadline ends this."""
    server.answers["/"] = drip(start, drops, stop)
    assert "it took longer than 0.3 s" in refusal(server.url + "/", total_seconds=0.3)


def test_a_name_server_that_hangs_is_left_behind(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking a name up has no limit of its own."""

    def hang(*_: object, **__: object) -> None:
        stop.wait(20)
        raise OSError("never found")

    monkeypatch.setattr("socket.getaddrinfo", hang)
    assert "it took longer than 0.2 s" in refusal("http://slow.example/x.png", total_seconds=0.2)


READ_DIFFERENTLY = [
    "http://10.0.0.1\\@example.com/x.png", "http:\\\\example.com/x.png",
    "http://example.com\\.evil.com/", "http://example.com/\\..\\x.png",
    "http://exa\tmple.com/", "http://example.com/\x1b[2Jx.png", "http://example.com/\x7f",
    "http://exa\u00admple.com/",
]  # fmt: skip
NO_HEAD_CARRIES = [
    "http://exa\nmple.com/x.png", "http://example.com/\x00.png", "http://a\ud800b.com/",
    "http://example.com/\u202egnp.exe", "http://exam\u2066ple.com/",
]  # fmt: skip


@pytest.mark.parametrize("url", READ_DIFFERENTLY + NO_HEAD_CARRIES)
def test_an_address_that_programs_read_differently_is_not_fetched(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A backslash is a slash to some, and control characters are left out by some."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert refusal(url).isprintable()


@pytest.mark.parametrize("url", READ_DIFFERENTLY)
def test_a_redirect_to_such_an_address_is_not_followed(server: Server, url: str) -> None:
    server.answers["/"] = answer(302, Location=url)
    assert refusal(server.url + "/").isprintable()
    assert server.asked == ["/"]


def test_a_reason_of_a_server_is_printed_plainly(server: Server) -> None:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 404 \x1b[31mNo\x9b2J \x1b]0;t\x07such\r\n\r\n")

    server.answers["/"] = send
    assert "answered 404 No such; check" in refusal(server.url + "/")


def test_a_silent_server_is_given_up(
    server: Server, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)

    def say_nothing(_: BaseHTTPRequestHandler) -> None:
        stop.wait(5)

    server.answers["/"] = say_nothing
    assert "the server was silent for 0.2 s" in refusal(server.url + "/")


def test_a_body_shorter_than_declared_is_refused(server: Server) -> None:
    server.answers["/"] = answer(Content_Length="5000")
    assert "the connection ended before the file did" in refusal(server.url + "/")


def test_a_server_that_hangs_up_is_a_sentence(server: Server) -> None:
    server.answers["/"] = lambda handler: handler.connection.close()
    assert "cannot fetch http://127.0.0.1" in refusal(server.url + "/")


def test_a_closed_port_is_a_sentence() -> None:
    with Server() as closed:
        url = closed.url
    assert "the server could not be reached" in refusal(url + "/cat.png")


def test_errors_and_web_pages_are_named(server: Server) -> None:
    server.answers["/none"] = answer(404)
    server.answers["/page"] = answer(body=b"<html>", Content_Type="text/html; charset=utf-8")
    assert "the server answered 404 Not Found; check the address" in refusal(server.url + "/none")
    assert "is a web page, not a picture" in refusal(server.url + "/page")


def test_what_is_not_a_picture_is_refused_whatever_it_claims(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/cat.png"] = answer(body=b"root:x:0:0", Content_Type="image/png")
    monkeypatch.setattr(fetch, "fetch", lambda url, *, max_bytes: get(url, max_bytes=max_bytes))
    with pytest.raises(UserError, match=r"cat\.png is not a picture that can be read"):
        images.load_image(server.url + "/cat.png")


def test_a_picture_arrives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/cat.png?size=1"] = answer(Content_Type="application/octet-stream")
    monkeypatch.setattr(fetch, "fetch", lambda url, *, max_bytes: get(url, max_bytes=max_bytes))
    image = images.load_image(server.url + "/cat.png?size=1")
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_secrets_in_an_address_are_not_repeated() -> None:
    shown = fetch.shown_url("https://user:secret@example.com:8/cat.png?token=secret#secret")
    assert shown == "https://example.com:8/cat.png"
    with pytest.raises(UserError) as caught:
        images.load_image("http://user:secret@127.0.0.1/cat.png?token=secret")
    assert "secret" not in str(caught.value)


def test_the_environment_changes_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve names anew, and a .netrc would send passwords."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    server.answers["/cat.png"] = answer()
    assert get(server.url + "/cat.png") == PNG
    assert "Authorization" not in server.headers[0]
    assert server.headers[0]["Accept-Encoding"] == "identity"


def test_the_product_never_allows_this_machine() -> None:
    with fetch._session() as session:
        assert {*session.adapters} == {"http://", "https://"}
        for adapter in session.adapters.values():
            assert adapter._allow_loopback is False
