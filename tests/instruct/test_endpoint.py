"""A server in place of the local model: asked rightly, its failures are one sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from overpaint.errors import UserError
from overpaint.instruct.endpoint import KEY_VARIABLE, EndpointWriter
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.writer import Request

ASKED = [Request(f"a dog {i}", "add", seed=2**40 + i) for i in range(6)]
Answer = Callable[[dict[str, Any]], tuple[int, str]]


def chat(content: str) -> str:
    return json.dumps({"choices": [{"message": {"content": content}}]})


def echo(body: dict[str, Any]) -> tuple[int, str]:
    caption = body["messages"][1]["content"].splitlines()[0].removeprefix("Caption: ")
    return 200, chat(json.dumps({"edit": "add a hat", "edited": f"{caption} with a hat"}))


class Server:
    """A chat server on this machine that answers as it is told."""

    def __init__(self) -> None:
        self.answer: Answer = echo
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                outer.keys.append(self.headers.get("Authorization"))
                status, text = outer.answer(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def writer(url: str, **changes: Any) -> EndpointWriter:
    return EndpointWriter(url, "some-model", GenerateSettings(**changes), wait=lambda seconds: None)


def test_requests_are_answered_in_their_order(server: Server) -> None:
    told: list[int] = []
    answers = writer(server.url).write(ASKED, told.append)
    wanted = [("add a hat", f"{request.caption} with a hat") for request in ASKED]
    assert answers == wanted
    assert sum(told) == len(ASKED)
    body = min(server.bodies, key=lambda body: body["seed"])
    assert body["model"] == "some-model"
    assert body["response_format"]["type"] == "json_schema"
    assert "Kind of edit: add" in body["messages"][1]["content"]
    assert "temperature" not in body  # the server's own, where none is set
    assert len({body["seed"] for body in server.bodies}) == len(ASKED)
    assert server.keys == [None] * len(ASKED)


def test_settings_and_key_are_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    writer(f"{server.url}/chat/completions", temperature=0.7).write(ASKED[:1])
    assert server.keys == ["Bearer secret"]
    assert (server.bodies[0]["temperature"], server.bodies[0]["top_p"]) == (0.7, 0.9)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ('```json\n{"edit": "x", "edited": "y"}\n```', ("x", "y")),
        ("I cannot do that.", None),
        ('["x", "y"]', None),
        ('{"edit": "x"}', None),
        ("", None),
    ],
)
def test_an_answer_of_another_shape_is_that_rows_loss(
    server: Server, content: str, wanted: tuple[str, str] | None
) -> None:
    server.answer = lambda body: (200, chat(content))
    assert writer(server.url).write(ASKED[:2]) == [wanted, wanted]


def test_a_busy_server_is_asked_again(server: Server) -> None:
    def busy_at_first(body: dict[str, Any]) -> tuple[int, str]:
        return (503, "busy") if len(server.bodies) < 3 else echo(body)

    server.answer = busy_at_first
    assert writer(server.url).write(ASKED[:1]) == [("add a hat", "a dog 0 with a hat")]
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("answer", "words", "requests"),
    [
        ((401, "no such key"), "401 .*no such key", 1),
        ((302, ""), "302", 1),
        ((500, "oops"), "500 .*oops", 4),
        ((200, "<html>"), "does not speak OpenAI's chat protocol", 4),
        ((200, '{"choices": []}'), "does not speak OpenAI's chat protocol", 4),
    ],
)
def test_a_server_that_refuses_is_one_sentence(
    server: Server, answer: tuple[int, str], words: str, requests: int
) -> None:
    server.answer = lambda body: answer
    with pytest.raises(UserError, match=words):
        writer(server.url).write(ASKED[:1])
    assert len(server.bodies) == requests


def test_a_dead_endpoint_is_one_sentence(server: Server) -> None:
    server.http.server_close()
    with pytest.raises(UserError, match="does not serve: no connection"):
        writer(server.url.replace("127.0.0.1", "user:secret@127.0.0.1")).write(ASKED[:1])
    with pytest.raises(UserError, match="no http or https address"):
        writer("localhost:8000")
