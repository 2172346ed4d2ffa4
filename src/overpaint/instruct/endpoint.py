"""A server that speaks OpenAI's chat protocol (vLLM, llama.cpp, a hosted model) as the writer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from overpaint.errors import UserError
from overpaint.fetch import shown_url
from overpaint.instruct.kinds import KINDS
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.writing import Request, Writing

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
TRIES = 4
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
            UserError: `url` is no http(s) address.
        """
        if not url.startswith(("http://", "https://")):
            raise UserError(f"{url} is no http or https address, such as http://localhost:8000/v1.")
        url = url.rstrip("/")
        self.url = url if url.endswith("/chat/completions") else f"{url}/chat/completions"
        self.name, self.settings, self.wait = model, settings, wait
        self.asks_kind = True

    def identity(self) -> str:
        """What tells this writer from another: the model's name, wherever it is served."""
        return f"endpoint {self.name}"

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = lambda count: None
    ) -> list[Writing | None]:
        """One edit for each request; None where the answer is not the JSON that was asked for.

        Raises:
            UserError: the server does not answer, or refuses.
        """
        found: list[Writing | None] = []
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
        return self._content(self._post(body))

    def _post(self, body: dict[str, Any]) -> requests.Response:
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        why = ""
        for attempt in range(TRIES):
            if attempt:
                self.wait(2.0**attempt)
            try:
                answer = requests.post(
                    self.url,
                    json=body,
                    headers=headers,
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                    allow_redirects=False,  # the key is for this host only
                )
            except requests.RequestException as error:
                why = f"no connection ({type(error).__name__})"
                continue
            if answer.status_code == 200:
                return answer
            words = " ".join(answer.text.split())[:200]
            why = f"it answers {answer.status_code} {answer.reason}: {words}"
            if answer.status_code not in _LATER:
                break
        raise UserError(
            f"the endpoint {shown_url(self.url)} does not serve: {why}; check the address and that "
            "the server runs, then give the same command: what is written stays."
        )

    def _content(self, answer: requests.Response) -> str:
        try:
            content = answer.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{shown_url(self.url)} does not speak OpenAI's chat protocol: its answer has no "
                "choices[0].message.content."
            ) from error
        return content if isinstance(content, str) else ""


def _parse(text: str) -> Writing | None:
    """The two texts of an answer; models like to put a fence round their JSON."""
    text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    edit, edited = answer.get("edit"), answer.get("edited")
    if not isinstance(edit, str) or not isinstance(edited, str):
        return None
    return Writing(edit, edited)
