"""A server in place of the writer may answer anything: within limits, and one sentence each."""

from __future__ import annotations

import gzip
import json
import resource
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

from overpaint.errors import UserError
from overpaint.instruct import endpoint
from overpaint.instruct.endpoint import KEY_VARIABLE, EndpointWriter
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.writer import Request

KEY = "my-very-own-key"
Send = Callable[[Callable[[bytes], object]], None]


class Server(socketserver.ThreadingTCPServer):
    """Sends raw bytes; remembers how often and with which head it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.send: Send = lambda write: None
        self.heads: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: object) -> None:
        """The client hangs up on purpose in these tests."""


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        self.rfile.read(int(length.partition(b":")[2]))
        self.server.heads.append(head)
        self.server.send(self.wfile.write)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", 1 << 20)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def ask(server: Server, count: int = 1) -> list[tuple[str, str] | None]:
    writer = EndpointWriter(server.url, "m", GenerateSettings(), wait=lambda seconds: None)
    return writer.write([Request(f"a dog {n}", "add", n) for n in range(count)])


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chat(content: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


PACKED = {
    "a gzip bomb": ("gzip", gzip.compress(bytes(200 << 20), 1)),
    "a deflate bomb": ("deflate", zlib.compress(bytes(200 << 20), 1)),
    "gzip that is none": ("gzip", b"hello"),
    "gzip cut": ("gzip", gzip.compress(chat("x"))[:20]),
    "an unknown packing": ("x-evil", b"hello"),
}
ANSWERS: dict[str, bytes] = {
    **{kind: http(body, "200 OK", f"Content-Encoding: {name}")
       for kind, (name, body) in PACKED.items()},
    "too long": http(b" " * (2 << 20)),
    "html": http(b"<html><title>Log in</title></html>", "200 OK", "Content-Type: text/html"),
    "nothing": http(b""), "list": http(b"[]"), "table": http(b"{}"), "null": http(b"null"),
    "number": http(b"5"), "text": http(b'"x"'), "no choices": http(b'{"choices": []}'),
    "choices are a table": http(b'{"choices": {}}'), "a text": http(b'{"choices": "abc"}'),
    "a list of lists": http(b'{"choices": [[]]}'), "no message": http(b'{"choices": [{}]}'),
    "a null message": http(b'{"choices": [{"message": null}]}'),
    "cut": http(chat("x")[:20]), "deep": http(b"[" * 100_000), "digits": http(b"9" * 5000),
    "latin": http(b'{"choices": "\xe9"}'), "nul": http(b"\0" * 100), "pickle": http(b"\x80\x04N."),
    "no head": b"hello", "no http": b"SSH-2.0-OpenSSH_9.6\r\n", "silence": b"",
    "a long head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many heads": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
    "shorter than declared": http(b"x")[:-1],
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "an escape": http(b"\x1b[31mno\x1b[0m \xe2\x80\xae", "401 \x1b]0;evil\x07No\x9b1m"),
    "the key": http(f"bad key {KEY}".encode(), f"401 bad {KEY}"),
    "the key in pieces": http(f"bad {KEY[:5]}\0\x1b[1m{KEY[5:]}".encode(), "403 No"),
    "many lines": http(b"a\nb\r\nc\n" * 1000, "400 Bad"),
    "a redirect": http(b"", "302 Found", "Location: http://127.0.0.1:9/steal"),
    "a redirect to a file": http(b"", "307 T", "Location: file:///etc/passwd"),
    "busy": http(b"later", "503 Busy"), "teapot": http(b"\xff\xfe", "418 \xff\xfe"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_an_answer_that_is_none_is_one_sentence(server: Server, kind: str) -> None:
    server.send = lambda write: write(ANSWERS[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"does not (serve|speak)") as caught:
        ask(server)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert KEY not in sentence
    assert len(sentence) < 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB
    final = sentence.partition("it answers ")[2][:3]
    assert len(server.heads) == (1 if final in ("401", "403", "400", "302", "307", "418") else 4)


@pytest.mark.parametrize("bad", [http(b"<html>"), http(chat("x")[:9]), http(b"", "502 Bad"), b""])
def test_garbage_for_once_costs_a_try(server: Server, bad: bytes) -> None:
    good = http(chat('{"edit": "x", "edited": "y"}'))
    server.send = lambda write: write(bad if len(server.heads) < 3 else good)
    assert ask(server) == [("x", "y")]


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"],
    ids=["status", "head", "body", "declared body"],
)  # fmt: skip
def test_a_server_that_drips_is_cut_off(
    server: Server, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte would start a mere timeout anew."""
    monkeypatch.setattr(endpoint, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(endpoint, "TRIES", 1)
    stop = threading.Event()

    def drip(write: Callable[[bytes], object]) -> None:
        write(start)
        while not stop.wait(0.02):
            write(b"x")

    server.send = drip
    with pytest.raises(UserError, match=r"it took longer than 0\.2 s"):
        ask(server)
    stop.set()


CONTENTS = [
    None, 5, [], {"edit": "x"}, "", "no JSON", "[" * 50_000, '{"edit": "x", "edited": 5}',
    '{"edit": "x", "edited": "\\ud800"}', '{"edit": "\\udfff y", "edited": "y"}', "\ud800",
    '{"edit": ' + "9" * 5000 + "}", '{"edit": ["x"], "edited": "y"}', "```json\n```",
]  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_words_that_are_no_edit_cost_their_row_only(server: Server, content: object) -> None:
    def send(write: Callable[[bytes], object]) -> None:
        first = len(server.heads) == 1
        write(http(chat(content if first else '{"edit": "x", "edited": "y"}')))

    server.send = send
    writer = EndpointWriter(
        server.url, "m", GenerateSettings(batch_size=1), wait=lambda seconds: None
    )
    asked = [Request(f"a dog {n}", "add", n) for n in range(3)]
    assert writer.write(asked) == [None, ("x", "y"), ("x", "y")]


def test_the_key_goes_to_its_server_only(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    server.send = lambda write: write(http(chat('{"edit": "x", "edited": "y"}')))
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    with open(f"{tmp_path}/netrc", "w") as stream:
        stream.write("machine 127.0.0.1 login a password b\n")
    ask(server)
    assert f"authorization: bearer {KEY}".encode() in server.heads[0].lower()


@pytest.mark.parametrize("key", ["a\nb", "ключ", "a\x1bb"])
def test_a_key_that_no_header_can_carry_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(UserError, match="holds characters that no key has"):
        EndpointWriter("http://127.0.0.1:9", "m", GenerateSettings())


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://a\\@b/v1", "http://a\n.b/", "http://\u202ea/", "a:8000"]
)
def test_an_address_that_programs_read_differently_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="no http or https address") as caught:
        EndpointWriter(url, "m", GenerateSettings())
    assert str(caught.value).isprintable()
