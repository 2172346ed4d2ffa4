"""What writes edits: the request, the interface, and a language model in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from overpaint.instruct.settings import FormatName, GenerateSettings
from overpaint.instruct.text_format import TextFormat

if TYPE_CHECKING:
    from overpaint.instruct.models import LanguageModel


@dataclass(frozen=True)
class Request:
    """One edit of a caption that is wanted; everything random about it comes from `seed`."""

    caption: str
    kind: str
    seed: int


class Writer(Protocol):
    """Writes edits; the same request, the same answer, whatever stands beside it.

    An answer is the instruction and the edited caption, as they were written.
    """

    name: str
    """stored with every row"""
    asks_kind: bool
    """whether the kind of edit is part of what it is asked"""

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = ...
    ) -> list[tuple[str, str] | None]:
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
    ) -> list[tuple[str, str] | None]:
        """One edit for each request; None where the text was cut off before its end."""
        from overpaint.instruct.sampling import complete

        prompts = [self.format.prompt(request.caption, request.kind) for request in asked]
        seeds = [request.seed for request in asked]
        texts = complete(self.language_model, prompts, seeds, self.settings, done)
        return [self.format.parse(text) for text in texts]
