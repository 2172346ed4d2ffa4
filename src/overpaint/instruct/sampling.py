"""Completing many prompts at once, each exactly as it would be completed alone.

Every row draws from a generator of its own, so a row's text depends on its seed and not on the
rows beside it, on their number or on their order (in float32; rounding differs with the size of a
batch, and in half precision that reaches the choice of words).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from overpaint.errors import missing_extra
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.text_format import END, grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from overpaint.instruct.models import LanguageModel

_FIRST_TOKENS = 256  # of a sorted vocabulary: mostly all that top-p keeps


def complete(
    language_model: LanguageModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: GenerateSettings,
    done: Callable[[int], object] = lambda count: None,
) -> list[str]:
    """The completion of each prompt, in their order, without the end token.

    Prompts of similar length share a batch, padded on the left. `done` is told how many rows
    each batch finished.

    Raises:
        UserError: `settings.structure` is set and llguidance is not installed.
    """
    structure = Structure(language_model, settings) if settings.structure else None
    tokens = [language_model.tokenizer(prompt)["input_ids"] for prompt in prompts]
    by_length = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), row))
    texts = [""] * len(prompts)
    for start in range(0, len(by_length), settings.batch_size):
        rows = by_length[start : start + settings.batch_size]
        completed = _complete_batch(
            language_model, [tokens[r] for r in rows], [seeds[r] for r in rows], settings, structure
        )
        for row, text in zip(rows, completed, strict=True):
            texts[row] = text
        done(len(rows))
    return texts


@torch.inference_mode()
def _complete_batch(
    language_model: LanguageModel,
    tokens: list[list[int]],
    seeds: list[int],
    settings: GenerateSettings,
    structure: Structure | None,
) -> list[str]:
    model, tokenizer = language_model.model, language_model.tokenizer
    longest = max(map(len, tokens))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in tokens])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in tokens])
    rows = Rows(language_model, tokens, seeds, settings, structure)
    written = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        # The choice is made by `rows`, which leaves one token: greedy search takes it.
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=language_model.end_tokens,
            pad_token_id=pad,
        ),
        logits_processor=[rows],
        stopping_criteria=[rows.stopping],
    )
    return tokenizer.batch_decode(written[:, longest:], skip_special_tokens=True)


class Rows(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of every row, and knows which rows are done."""

    def __init__(
        self,
        language_model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        settings: GenerateSettings,
        structure: Structure | None,
    ) -> None:
        self.end_tokens = set(language_model.end_tokens)
        self.tokenizer = language_model.tokenizer
        temperature = settings.temperature
        self.temperature = language_model.temperature if temperature is None else temperature
        self.top_p, self.penalty = settings.top_p, settings.repetition_penalty
        self.prompts = prompts
        self.start = max(map(len, prompts))
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.structure = structure
        self.matchers = [structure.matcher() for _ in seeds] if structure else None
        self.done = [False] * len(seeds)
        self.written: list[list[int]] = [[] for _ in seeds]
        self.held: Tensor | None = None
        self.stopping = _Stopping(self)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) scores → the same with one finite score a row.

        The device is read once: which tokens were chosen.
        """
        scores = scores.float()
        penalised = self.temperature > 0 and self.penalty != 1
        if penalised:
            scores = self._penalise(scores)
        if self.matchers is not None and self.structure is not None:
            size = scores.shape[1]
            allowed = self.structure.allowed(self.matchers, self.done, size, scores.device)
            scores = scores.masked_fill(~allowed, -torch.inf)
        if self.temperature == 0:
            chosen = scores.argmax(dim=-1, keepdim=True).cpu()
        else:
            uniform = [torch.rand((), generator=g, dtype=torch.float64) for g in self.generators]
            chosen = choose(scores, torch.stack(uniform), self.temperature, self.top_p)
        for row, token in zip(self.written, chosen[:, 0].tolist(), strict=True):
            row.append(token)
        there = chosen.to(scores.device)
        if penalised and self.held is not None:
            self.held = torch.cat([self.held, there], dim=1)
        return torch.full_like(scores, -torch.inf).scatter_(1, there, 0.0)

    def _penalise(self, scores: Tensor) -> Tensor:
        """Divide (multiply, below 0) the scores of tokens that a row holds by the penalty.

        As in arXiv:1909.05858, section 4.1, but never for padding, which is no part of a row.
        """
        if self.held is None:  # each filled up with its first token: holding it twice is no more
            rows = [[*row, *[row[0]] * (self.start - len(row))] for row in self.prompts]
            self.held = torch.tensor(rows, device=scores.device)
        values = scores.gather(1, self.held)
        changed = torch.where(values > 0, values / self.penalty, values * self.penalty)
        return scores.scatter(1, self.held, changed)

    def note(self) -> list[bool]:
        """Take note of the tokens that were chosen; which rows are done now."""
        for row, written in enumerate(self.written):
            if self.done[row]:
                continue
            token = written[-1]
            if self.matchers is not None:
                matcher = self.matchers[row]
                self.done[row] = not matcher.consume_token(token) or matcher.is_accepting()
            else:
                self.done[row] = END in self.tokenizer.decode(written[-12:])
            self.done[row] |= token in self.end_tokens
        return self.done


class _Stopping(StoppingCriteria):  # type: ignore[misc]
    """Tells `generate` which rows are done: those whose text has its end, too."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        return torch.tensor(self.rows.note(), device=input_ids.device)


def choose(scores: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw one token a row from the smallest set whose probability reaches `top_p`.

    Reads the device once, or twice where the likeliest tokens do not reach `top_p`.

    Args:
        scores: (rows, vocabulary) float32, -inf for what is not allowed.
        uniform: (rows,) float64 in [0, 1), one draw a row.
        temperature: above 0.
        top_p: in (0, 1] (nucleus sampling, arXiv:1904.09751).

    Returns:
        (rows, 1) int64, on the CPU.
    """
    scores = scores / temperature
    total = scores.logsumexp(dim=-1, keepdim=True)
    values, tokens = scores.topk(min(_FIRST_TOKENS, scores.shape[1]))
    probabilities, tokens = _read(values - total, tokens)
    if (probabilities.float().sum(-1) < top_p).any():
        values, tokens = scores.sort(dim=-1, descending=True)
        probabilities, tokens = _read(values - total, tokens)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities * (before < top_p)
    reached = kept.cumsum(-1)
    wanted = uniform[:, None] * reached[:, -1:]
    place = (reached > wanted).int().argmax(dim=-1, keepdim=True)
    return tokens.gather(1, place)


def _read(logarithms: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities, float64, and tokens, int64, both (rows, n), on the CPU by one copy."""
    both = torch.cat([logarithms.exp().double(), tokens.double()], dim=1).cpu()
    probabilities, numbers = both.chunk(2, dim=1)
    return probabilities.contiguous(), numbers.long()


def need_llguidance() -> None:
    """Make sure that `Structure` can work.

    Raises:
        UserError: its package is not installed.
    """
    if find_spec("llguidance") is None:
        raise missing_extra("structure: true", "llm", "set generate.structure=false")


class Structure:
    """Which tokens keep a completion valid: a grammar, followed row by row."""

    def __init__(self, language_model: LanguageModel, settings: GenerateSettings) -> None:
        need_llguidance()
        from llguidance import LLMatcher

        self.vocabulary: LLTokenizer = language_model.vocabulary()
        self.grammar = LLMatcher.grammar_from_lark(
            grammar(settings.max_instruction, settings.max_caption)
        )

    def matcher(self) -> LLMatcher:
        """The state of one row, at its start."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.vocabulary, self.grammar)
        if matcher.is_error():
            raise ValueError(f"the grammar does not fit this vocabulary: {matcher.get_error()}")
        return matcher

    def allowed(
        self, matchers: list[LLMatcher], done: list[bool], size: int, device: torch.device
    ) -> Tensor:
        """(rows, size) bool on `device`: the tokens that may follow; for rows that are done any.

        What goes to the device is a bit a token.
        """
        masks = [
            b"" if ended else m.compute_bitmask() for m, ended in zip(matchers, done, strict=True)
        ]
        length = max(map(len, masks)) or -(-size // 8)
        rows = bytearray(b"".join(mask or b"\xff" * length for mask in masks))
        bits = torch.frombuffer(rows, dtype=torch.uint8).view(len(masks), length).to(device)
        places = torch.arange(8, dtype=torch.uint8, device=device)
        allowed = ((bits[:, :, None] >> places) & 1).bool().flatten(1)
        return F.pad(allowed, (0, max(0, size - allowed.shape[1])))[:, :size]
