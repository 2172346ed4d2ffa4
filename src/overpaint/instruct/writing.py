"""What writes edits: a request, its answer, and the local model that gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from overpaint.instruct.prompting import TextFormat
from overpaint.instruct.settings import FormatName, GenerateSettings

if TYPE_CHECKING:
    from overpaint.instruct.models import LanguageModel


@dataclass(frozen=True)
class Request:
    """One edit that is wanted. Everything random about it comes from `seed`."""

    caption: str
    kind: str
    seed: int


@dataclass(frozen=True)
class Writing:
    """One edit that was written, uncleaned."""

    edit_prompt: str
    edited_prompt: str


class Writer(Protocol):
    """Writes edits; the same request, the same answer, whatever stands beside it."""

    name: str
    """stored with every row"""
    asks_kind: bool
    """whether the kind of edit is part of what it is asked"""

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = ...
    ) -> list[Writing | None]:
        """One edit for each request, in their order; None where none could be read."""


class LocalWriter:
    """Writes edits with a language model in this process."""

    def __init__(
        self, language_model: LanguageModel, settings: GenerateSettings, text_format: FormatName
    ) -> None:
        """`text_format` is used where the model does not say what it was fine-tuned on."""
        self.language_model, self.settings = language_model, settings
        self.format = TextFormat(language_model.format or text_format)
        self.name = language_model.name
        self.asks_kind = self.format.name == "kinds"

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = lambda count: None
    ) -> list[Writing | None]:
        """One edit for each request; None where the text was cut off before its end."""
        from overpaint.instruct.sampling import complete

        prompts = [self.format.prompt(request.caption, request.kind) for request in asked]
        seeds = [request.seed for request in asked]
        texts = complete(self.language_model, prompts, seeds, self.settings, done)
        parsed = [self.format.parse(text) for text in texts]
        return [Writing(*pair) if pair else None for pair in parsed]
