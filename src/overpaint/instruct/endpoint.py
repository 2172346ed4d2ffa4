"""A server that speaks OpenAI's chat protocol (vLLM, llama.cpp, a hosted model) as the writer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from requests.utils import get_auth_from_url

from overpaint.errors import UserError
from overpaint.files import parse_json
from overpaint.instruct.kinds import KINDS
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.writer import Request
from overpaint.net.fetch import is_plain, shown_url
from overpaint.net.posting import Answer, post_json
from overpaint.text import printable

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 300.0
"""Seconds for everything: looking up, connecting, and the last byte of the answer."""
MAX_ANSWER_BYTES = 4 << 20
"""Of an answer once unpacked; two sentences are wanted."""
TRIES = 4
_SHOWN = 300  # characters of what went wrong
_READ_OF_ERROR = 4096  # bytes
_LATER = {408, 425, 429, 500, 502, 503, 504}  # answers after which it is worth trying again

_SYSTEM = (
    "You write training data for a model that edits pictures by instruction. Given the caption of "
    "a picture and a kind of edit, think of one edit of that kind that fits the picture. Answer "
    "with a JSON object: `edit` is the instruction as a person would type it (imperative, at most "
    "ten words, naming what changes); `edited` is the caption of the picture after the edit, the "
    "same words as before except for what the instruction changes."
)
_SCHEMA = {
    "type": "object",
    "properties": {"edit": {"type": "string"}, "edited": {"type": "string"}},
    "required": ["edit", "edited"],
    "additionalProperties": False,
}


class EndpointWriter:
    """Writes edits by asking a server, several requests at a time."""

    def __init__(
        self,
        url: str,
        model: str,
        settings: GenerateSettings,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """`wait` is called with the seconds between two tries.

        Raises:
            UserError: `url` is no http(s) address, or the key in the environment is none.
        """
        if not url.startswith(("http://", "https://")) or not is_plain(url):
            raise UserError(
                f"{printable(url)} is no http or https address, such as http://localhost:8000/v1."
            )
        url = url.rstrip("/")
        self.url = url if url.endswith("/chat/completions") else f"{url}/chat/completions"
        self.name, self.settings, self.wait = model, settings, wait
        self.asks_kind = True
        self._key = _read_key()
        self._secrets = (self._key, *get_auth_from_url(url))

    def identity(self) -> str:
        """What tells this writer from another: the model's name, wherever it is served."""
        return f"endpoint {self.name}"

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = lambda count: None
    ) -> list[tuple[str, str] | None]:
        """One edit for each request; None where the answer is not the JSON that was asked for.

        Raises:
            UserError: the server does not answer, or refuses.
        """
        found: list[tuple[str, str] | None] = []
        with ThreadPoolExecutor(self.settings.batch_size) as pool:
            for text in pool.map(self._ask, asked):
                found.append(_parse(text))
                done(1)
        return found

    def _ask(self, request: Request) -> str:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {
                    "role": "user",
                    "content": f"Caption: {request.caption}\n"
                    f"Kind of edit: {request.kind} ({KINDS[request.kind]})",
                },
            ],
            "max_tokens": self.settings.max_new_tokens,
            "seed": request.seed % 2**31,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "edit", "strict": True, "schema": _SCHEMA},
            },
        }
        if self.settings.temperature is not None:
            body |= {"temperature": self.settings.temperature, "top_p": self.settings.top_p}
        return self._content(body)

    def _content(self, body: dict[str, Any]) -> str:
        """The text of the answer, asked for again where that may help."""
        why = ""
        for attempt in range(TRIES):
            if attempt:
                self.wait(2.0**attempt)
            try:
                answer = self._post(body)
            except (OSError, ValueError) as error:
                why = f"does not serve: {printable(error, self._secrets)}"
                continue
            if answer.status == 200:
                try:
                    return _text_in(answer.content)
                except ValueError as error:
                    why = f"does not speak OpenAI's chat protocol: {error}"
                    continue
            why = f"does not serve: it answers {answer.status} {answer.reason}: "
            why = printable(why + _words(answer.content), self._secrets)
            if answer.status not in _LATER:
                break
        raise UserError(
            f"the endpoint {shown_url(self.url)} {why[:_SHOWN]}; check the address and that "
            "the server runs, then give the same command: what is written stays."
        )

    def _post(self, body: dict[str, Any]) -> Answer:
        return post_json(
            self.url,
            body,
            {"Authorization": f"Bearer {self._key}"} if self._key else {},
            max_bytes=MAX_ANSWER_BYTES,
            connect_seconds=CONNECT_SECONDS,
            total_seconds=ANSWER_SECONDS,
        )


def _read_key() -> str:
    """The key, which is never printed.

    Raises:
        UserError: no header can carry it.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and (key.isprintable() or not key)):
        raise UserError(f"{KEY_VARIABLE} holds characters that no key has: set it anew.")
    return key


def _words(content: bytes) -> str:
    return content[:_READ_OF_ERROR].decode("utf-8", "replace")


def _text_in(content: bytes) -> str:
    """The text of a chat answer; empty where the model said nothing.

    Raises:
        ValueError: it is no chat answer, in words.
    """
    answer = parse_json(content)
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("its answer has no choices[0].message.content") from error
    return text if isinstance(text, str) else ""


def _parse(text: str) -> tuple[str, str] | None:
    """The two texts of an answer; models like to put a fence round their JSON."""
    text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        answer = parse_json(text)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    edit, edited = answer.get("edit"), answer.get("edited")
    if not isinstance(edit, str) or not isinstance(edited, str):
        return None
    try:
        (edit + edited).encode()
    except UnicodeEncodeError:  # half a character, which no file can hold
        return None
    return edit, edited
